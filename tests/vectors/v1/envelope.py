"""§4.1 to §4.3: sealing and opening an envelope."""
import hmac

from cryptography.exceptions import InvalidTag

from .base import (Reject, aead_open, aead_seal, expand, extract, hkdf, kem_decaps, kem_ek, kem_encaps, require, sha256, u8,
                   u16, u32, x25519, x25519_pub)
from .names import prekey_hash
from .noise import Handshake, X_PSK0

ENVELOPE, SLOT, BODY, HEADER, SLOTS, MESSAGE = 65536, 1216, 55744, 64, 8, 55724


def slot_psk(ss, ek, ct): return hkdf("valise1/slot-psk", ss, sha256(ek) + sha256(ct))                       # §4.2


def slot_prologue(d, index, address, x, ek, ct):                                                             # §4.2
    return b"valise1/slot" + d + u8(index) + address + prekey_hash(x, ek) + sha256(ct)


def seal_slot(x, ek, writer, payload, d, index, address, e, m, dh=x25519):                                   # §4.2
    ct, ss = kem_encaps(ek, m)
    hs = Handshake(X_PSK0, True, slot_prologue(d, index, address, x, ek, ct), s=writer, rs=x, dh=dh)
    hs.psk = slot_psk(ss, ek, ct)
    return ct + hs.write(payload, e)


def open_slot(x_private, kem_seed, slot, d, index, address):                                                 # §4.2, §4.3
    """(payload, writer's key), or None where this slot is not for this prekey."""
    ct, noise = slot[:1088], slot[1088:]
    x, ek = x25519_pub(x_private), kem_ek(kem_seed)
    hs = Handshake(X_PSK0, False, slot_prologue(d, index, address, x, ek, ct), s=x_private)
    hs.psk = slot_psk(kem_decaps(kem_seed, ct), ek, ct)
    try:
        return hs.read(noise), hs.rs
    except Reject:
        return None


def seal(K, salt, message, address, slots, version=1, suite=2, reserved=bytes(12), commitment=None, padded=None,
         spoil_body=False):                                                                                  # §4, §4.1
    """`slots`: eight of dict(x, ek, writer, payload, e, m), in the order in which they stand.

    The keyword arguments after `slots` exist for vectors that a reader must reject; they are otherwise consistent.
    """
    prk = extract(salt, K)
    header = u16(version) + u16(suite) + reserved + salt + (commitment or expand(prk, "valise1/commit"))
    if padded is None:
        padded = (u32(len(message)) + message).ljust(MESSAGE + 4, b"\0")
    body = aead_seal(expand(prk, "valise1/body"), bytes(12), header, padded)
    if spoil_body:
        body = body[:-1] + u8(body[-1] ^ 1)
    d = sha256(b"valise1/envelope", header, body)
    return header + b"".join(seal_slot(d=d, index=i, address=address, **s) for i, s in enumerate(slots)) + body


def plan_slots(prekeys, writer, K, rng):                                                                     # §4.2
    """Eight slots in random order. Randomness: the dummies' keys, then the order, then e and m of each slot."""
    require(len(prekeys) <= SLOTS, "too-many-readers")
    slots = [dict(x=x, ek=ek, payload=K) for x, ek in prekeys]
    while len(slots) < SLOTS:
        slots.append(dict(x=x25519_pub(rng(32)), ek=kem_ek(rng(64)), payload=rng(32)))
    for i in range(SLOTS - 1, 0, -1):
        j = int.from_bytes(rng(4), "big") % (i + 1)
        slots[i], slots[j] = slots[j], slots[i]
    return [s | dict(writer=writer, e=rng(32), m=rng(32)) for s in slots]


def open_envelope(raw, address, prekeys):                                                                    # §4.3
    """`prekeys`: (X25519 private, ML-KEM seed). Gives K, the writer's key, the message, the slot, D."""
    require(raw[:2] == u16(1), "unknown-version")                            # §1: before anything else
    require(len(raw) == ENVELOPE, "wrong-length")
    require(raw[2:4] == u16(2), "unknown-suite")
    require(raw[4:16] == bytes(12), "reserved-not-zero")
    header, salt, commitment, body = raw[:HEADER], raw[16:32], raw[32:64], raw[-BODY:]
    d = sha256(b"valise1/envelope", header, body)
    for index in range(SLOTS):
        slot = raw[HEADER + SLOT * index:HEADER + SLOT * (index + 1)]
        hit = next((h for h in (open_slot(x, s, slot, d, index, address) for x, s in prekeys) if h), None)
        if hit:
            break
    else:
        raise Reject("not-ours")
    K, writer = hit
    prk = extract(salt, K)
    require(hmac.compare_digest(expand(prk, "valise1/commit"), commitment), "bad-commitment")
    try:
        padded = aead_open(expand(prk, "valise1/body"), bytes(12), header, body)
    except InvalidTag:
        raise Reject("bad-body") from None
    size = int.from_bytes(padded[:4], "big")
    require(size <= MESSAGE, "bad-length")
    require(not any(padded[4 + size:]), "bad-padding")
    return {"K": K, "writer": writer, "message": padded[4:4 + size], "slot": index, "D": d}
