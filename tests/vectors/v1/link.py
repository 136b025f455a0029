"""§7.1 to §7.4: the handshake, frames, requests, answers."""
from .base import A, B, BOOL, COUNT, M, Reject, U, decode, encode, hkdf, kem_check, kem_decaps, kem_ek, kem_encaps, require, sha256, u16
from .base import u32, x25519
from .card import CARD
from .envelope import ENVELOPE
from .names import mailbox_of
from .noise import Handshake, XK_PSK2
from .parcels import HELD, NUMBER, PARCEL, PARCELS, namespace_of

FRAME = 16624


def link_psk(ss, ek, ct): return hkdf("valise1/link-psk", ss, sha256(ek) + sha256(ct))                       # §7.1
def link_prologue(relay_id): return b"valise1/link" + u16(1) + relay_id                                      # §7.1
def payload_2(effort=0, version=1, reserved=bytes(58)): return u32(effort) + u16(version) + reserved         # §7.1


class Client:
    """The initiator's end. §7.1"""
    def __init__(self, relay_static, relay_id, static, e, kem_seed, dh=x25519):
        self.hs = Handshake(XK_PSK2, True, link_prologue(relay_id), s=static, rs=relay_static, dh=dh)
        self.e, self.seed, self.ek = e, kem_seed, kem_ek(kem_seed)

    def message_1(self): return self.hs.write(self.ek, self.e)

    def read_2(self, data):
        require(len(data) == 1200, "wrong-length")
        ct = data[:1088]
        self.hs.psk = link_psk(kem_decaps(self.seed, ct), self.ek, ct)
        p = self.hs.read(data[1088:])
        require(p[4:6] == u16(1), "unknown-version")
        require(p[6:] == bytes(58), "reserved-not-zero")
        require(p[:4] == u32(0), "effort-not-zero")
        return p

    def message_3(self):
        out = self.hs.write(b"")
        self.up, self.down = self.hs.split()
        return out


class Relay:
    """The responder's end. §7.1"""
    def __init__(self, static, relay_id):
        self.hs = Handshake(XK_PSK2, False, link_prologue(relay_id), s=static)

    def read_1(self, data):
        require(len(data) == 1232, "wrong-length")
        self.ek = self.hs.read(data)
        kem_check(self.ek)

    def message_2(self, e, m, payload=payload_2()):
        ct, ss = kem_encaps(self.ek, m)
        self.hs.psk = link_psk(ss, self.ek, ct)
        return ct + self.hs.write(payload, e)

    def read_3(self, data):
        """The client's static key."""
        require(len(data) == 64, "wrong-length")
        self.hs.read(data)
        self.up, self.down = self.hs.split()
        return self.hs.rs


def frame_encrypt(cipher, plain): return cipher.encrypt(b"", plain)                                          # §7.2


def frame_decrypt(cipher, data):                                                                             # §7.2
    require(len(data) == FRAME + 16, "wrong-length")
    return cipher.decrypt(b"", data)


def to_frames(header, attachment, count):                                                                    # §7.2
    raw = header if type(header) is bytes else encode(header)
    plain = u16(len(raw)) + raw + attachment
    require(len(plain) <= count * FRAME, "bad-length")
    plain = plain.ljust(count * FRAME, b"\0")
    return [plain[i:i + FRAME] for i in range(0, len(plain), FRAME)]


# kind: frames up, frames down, header, length of the attachment, kinds of the answers besides a refusal   §7.3
REQUEST = {1: (1, 2, M({0: U(), 1: B(32)}), lambda h: 0, {1}),
           2: (4, 1, M({0: U(), 1: U(0, 2), 2: B(32), 3: B(32), 4: B(0, 256)}), lambda h: ENVELOPE, {2}),
           3: (1, 4, M({0: U(), 1: U(0, 1), 2: B(32), 3: U(), 4: A(B(32), 0, 256), 5: U(0, 100)}), lambda h: 0, {3}),
           4: (2, 1, M({0: U(), 1: U(0, CARD)}), lambda h: h[1], {4}),
           5: (1, 1, M({0: U(), 1: B(32)}), lambda h: 0, {5}),
           6: (16, 1, M({0: U(), 1: B(32), 3: NUMBER, 4: B(16)}), lambda h: PARCEL, {6}),
           7: (1, 16, M({0: U(), 1: B(32), 2: B(32), 3: NUMBER}), lambda h: 0, {7}),
           8: (1, 1, M({0: U(), 1: B(32), 3: B(32)}), lambda h: 0, {8}),
           9: (1, 1, M({0: U(), 1: B(32)}), lambda h: 0, {9})}
ANSWER = {0: (M({0: U(), 1: U(1, 13)}), lambda h: 0),                                                      # §7.4
          1: (M({0: U(), 1: U(0, CARD)}), lambda h: h[1]),
          2: (M({0: U(), 1: U(0, 2), 4: B(16)}), lambda h: 0),
          3: (M({0: U(), 1: COUNT, 2: U(), 3: BOOL}), lambda h: ENVELOPE if h[3] else 0),
          4: (M({0: U()}), lambda h: 0),
          5: (M({0: U(), 4: HELD}), lambda h: 0),
          6: (M({0: U(), 1: U(0, 1)}), lambda h: 0),
          7: (M({0: U(), 3: BOOL}), lambda h: PARCEL if h[3] else 0),
          8: (M({0: U(), 1: U(0, 1)}), lambda h: 0),
          9: (M({0: U(), 1: U(0, PARCELS)}), lambda h: 0)}


def read_header(first):                                                                                      # §7.2
    size = int.from_bytes(first[:2], "big")
    require(size <= FRAME - 2, "bad-length")
    h = decode(first[2:2 + size])
    require(type(h) is dict and type(h.get(0)) is int, "bad-cbor")
    return h, 2 + size


def _body(frames, start, size):
    plain = b"".join(frames)
    require(start + size <= len(plain), "bad-length")
    require(not any(plain[start + size:]), "bad-padding")
    return plain[start:start + size]


def read_request_header(first):                                                                              # §7.3
    h, start = read_header(first)
    require(h[0] in REQUEST, "unknown-kind")
    require(REQUEST[h[0]][2](h), "bad-cbor", "wrong shape")
    require(h[0] != 2 or start - 2 <= 958, "bad-length")
    return h, start


def read_request(frames):                                                                                    # §7.3
    h, start = read_request_header(frames[0])
    count, _, _, size, _ = REQUEST[h[0]]
    require(len(frames) == count, "wrong-length")
    return h, _body(frames, start, size(h))


def refusal_frames(frames):                                                                                  # §7.3
    """In how many frames a relay says refusal 1 to this malformed request: one if its header is at fault."""
    try:
        return REQUEST[read_request_header(frames[0])[0][0]][1]
    except Reject:
        return 1


def read_answer_header(first):                                                                               # §7.4
    h, start = read_header(first)
    require(h[0] in ANSWER, "unknown-kind")
    require(ANSWER[h[0]][0](h), "bad-cbor", "wrong shape")
    return h, start


def read_answer(request_kind, frames):                                                                       # §7.2, §7.4
    """As many frames as the request has; one suffices for refusal 1, which a relay gives to a malformed header."""
    h, start = read_answer_header(frames[0])
    require(h[0] == 0 or h[0] in REQUEST[request_kind][4], "wrong-kind")
    require(len(frames) == REQUEST[request_kind][1] or (h == {0: 0, 1: 1} and len(frames) == 1), "wrong-length")
    return h, _body(frames, start, ANSWER[h[0]][1](h))


def poll_allowed(header, link_key, link_keys_on_roster):                                                     # §7.3
    """Raises where the link's client static key may not poll this mailbox."""
    if header[1] == 1:
        require(header[2] == mailbox_of(link_key), "refused-6")
    else:
        require(link_key in link_keys_on_roster, "refused-6")


def write_allowed(header, link_key):                                                                         # §7.3
    """Raises where the link's client static key may not put into, or delete, this namespace."""
    require(header[1] == namespace_of(link_key), "refused-6")


def get_allowed(link_key, link_keys_on_roster):                                                              # §7.3
    """Raises where the link's client static key may not get parcels for an inbox with this roster."""
    require(link_key in link_keys_on_roster, "refused-6")
