"""§9: parcels. Their keys, sealing and opening, padding, attachments and lists of them, sets of parcels."""
import hmac

from cryptography.exceptions import InvalidTag

from .base import A, B, M, Reject, T, U, aead_open, aead_seal, decode, encode, expand, require, sha256, u8, u32, x25519_pub

PARCEL, CHUNK, CHUNKS, PARCELS, ATTACHMENTS, SET = 262144, 65536, 4, 16384, 10000, 2048
CHUNK_PLAIN = CHUNK - 12 - 16                      # 65,508                                                    §9.2
PARCEL_PLAIN = CHUNKS * CHUNK_PLAIN                # 262,032
LONGEST = PARCELS * PARCEL_PLAIN                   # 4,293,132,288                                             §9.3
ARRAY_SIZE, CONTENT_SIZE, LIST_SIZE = 16384, 54000, 8388608                                                 # §9.4
NUMBER = U(0, PARCELS - 1)                         #                                                           §7.3

ATTACHMENT = M({0: B(32), 1: B(32), 2: U(0, LONGEST), 3: B(32), 5: T(1, 127, "[!-~]*"), 6: U(0, 3)}, {4: T(1, 255)})   # §9.4
LIST = A(ATTACHMENT, 1, ATTACHMENTS)
FILES = lambda v: ATTACHMENT(v) if type(v) is dict else LIST(v)      # key 3 of a content: the files, or the one that lists them


def namespace_of(write_public): return sha256(b"valise1/namespace", write_public)                            # §9.1, §7.3


def file_keys(base, h):                                                                                      # §9.1
    """`base`: root, or R of one addressee. (FK, write key, its public key, namespace)."""
    w = expand(base, b"valise1/put" + h)
    public = x25519_pub(w)
    return expand(base, b"valise1/file" + h), w, public, namespace_of(public)


def _places(number, count):                                                                                  # §9.2
    """What a parcel's four chunks are bound to: their number in the file, and whether it is the last."""
    return [u32(CHUNKS * number + j) + u8(number == count - 1 and j == CHUNKS - 1) for j in range(CHUNKS)]


def seal_parcel(fk, number, count, plain, nonces={}):                                                        # §9.2
    """`nonces`: other nonces than the right ones, by the number of the chunk in the parcel. No writer does so."""
    require(len(plain) == PARCEL_PLAIN, "wrong-length")
    ck, nk, out = expand(fk, "valise1/chunk"), expand(fk, "valise1/chunk-nonce"), b""
    for j, ad in enumerate(_places(number, count)):
        chunk = plain[CHUNK_PLAIN * j:CHUNK_PLAIN * (j + 1)]
        nonce = nonces.get(j, hmac.digest(nk, ad + chunk, "sha256")[:12])
        out += nonce + aead_seal(ck, nonce, ad, chunk)
    return out


def open_parcel(fk, number, count, parcel):                                                                  # §9.2
    require(len(parcel) == PARCEL, "wrong-length")
    ck, nk, out = expand(fk, "valise1/chunk"), expand(fk, "valise1/chunk-nonce"), b""
    for j, ad in enumerate(_places(number, count)):
        chunk = parcel[CHUNK * j:CHUNK * (j + 1)]
        try:
            plain = aead_open(ck, chunk[:12], ad, chunk[12:])
        except InvalidTag:
            raise Reject("bad-parcel", f"chunk {j}") from None
        require(hmac.digest(nk, ad + plain, "sha256")[:12] == chunk[:12], "bad-parcel", f"nonce {j}")
        out += plain
    return out


def parcels_of(length):                                                                                      # §9.3
    """How many parcels a file of that many bytes has: 4 for each step, of the least of 1, 2, 3, 4, 6, 8, 12, 16, ... 4,096 that holds it."""
    require(length <= LONGEST, "too-long")
    steps = sorted(n << k for n, last in ((1, 12), (3, 10)) for k in range(last + 1))
    return next((4 * n for n in steps if length <= 4 * n * PARCEL_PLAIN), PARCELS)


def pad_file(data): return data.ljust(parcels_of(len(data)) * PARCEL_PLAIN, b"\0")                           # §9.3


def seal_file(fk, padded):                                                                                   # §9.2
    """All parcels of a file that is padded already, rightly or wrongly."""
    count = len(padded) // PARCEL_PLAIN
    return [seal_parcel(fk, p, count, padded[PARCEL_PLAIN * p:PARCEL_PLAIN * (p + 1)]) for p in range(count)]


def read_attachment(raw): return decode(raw, ATTACHMENT)                                                     # §9.4


def ascending(attachments):                                                                                  # §9.4
    names = [a[1] for a in attachments]
    require(all(a < b for a, b in zip(names, names[1:])), "not-ascending")
    return attachments


def read_list(raw):                                                                                          # §9.4
    require(len(raw) <= LIST_SIZE, "too-long")
    return ascending(decode(raw, LIST))


def check_files(files):                                                                                      # §9.4
    """Key 3 of a content, of the right shape. Whether a list was due is for the writer: a reader cannot tell."""
    if type(files) is list:
        ascending(files)
        require(len(encode(files)) <= ARRAY_SIZE, "too-long")
    else:
        require(4 not in files and files[5] == "application/cbor" and files[6] == 0, "bad-list")
        require(files[2] <= LIST_SIZE, "too-long")


def once(attachments):                                                                                       # §9.4
    """In their order; of equal files, which have one namespace, the one with the lesser encoding."""
    kept = {}
    for a in sorted(attachments, key=encode):
        kept.setdefault(a[1], a)
    return ascending(sorted(kept.values(), key=lambda a: a[1]))


def attach(base, content, attachments):                                                                      # §9.4
    """What a writer makes of a content without files, and of the files: (the array's encoding, whether it became a list, the content)."""
    files = once(attachments)
    require(0 < len(files) <= ATTACHMENTS, "bad-cbor")
    array, whole = encode(files), encode(content | {3: files})
    if len(array) <= ARRAY_SIZE and len(whole) <= CONTENT_SIZE:
        return array, False, whole
    h = sha256(array)
    fk, _, _, n = file_keys(base, h)
    return array, True, encode(content | {3: {0: fk, 1: n, 2: len(array), 3: h, 5: "application/cbor", 6: 0}})


def read_file(attachment, parcels):                                                                          # §9.4
    """The bytes that may be released: `parcels` is all that there are, in their order."""
    count = parcels_of(attachment[2])
    require(len(parcels) == count, "wrong-length", "parcels")
    plain = b"".join(open_parcel(attachment[0], p, count, x) for p, x in enumerate(parcels))
    data, rest = plain[:attachment[2]], plain[attachment[2]:]
    require(not any(rest), "bad-padding")
    require(hmac.compare_digest(sha256(data), attachment[3]), "wrong-hash")
    return data


HELD = lambda v: B(0, SET)(v) and (not v or v[-1] != 0)                                                     # §7.4


def set_of(numbers):                                                                                         # §7.4
    out = bytearray(max(numbers, default=-1) // 8 + 1)
    for i in numbers:
        out[i // 8] |= 1 << 7 - i % 8
    return bytes(out)


def numbers_of(held): return [i for i in range(8 * len(held)) if held[i // 8] >> 7 - i % 8 & 1]              # §7.4
