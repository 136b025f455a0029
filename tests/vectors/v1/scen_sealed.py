"""Vectors of §9.6: sealed cases. An envelope in them is one byte, 65,536 times: who carries it cannot open it, and does not look into it."""
import v1 as v
from v1 import Rng, encode, sha256
from .files import pieces
from .world import ADDRESS, CONTACT, FILE_KEYS, OTHER, RELAY_2, adder


def scenarios():
    out = []
    V = adder(out)
    made(V), read(V), faults(V), shapes(V)
    return out


R = Rng("valise vectors 1/sealed case")
CONTACT_2 = f"{v.bech32m('relay', RELAY_2)},[2001:db8::1]:8443"
LONGEST_HOST = ".".join(["a" * 63] * 3 + ["b" * 61])                    # 253 characters
LONGEST_CONTACT = f"{v.bech32m('relay', RELAY_2)},{LONGEST_HOST}:65535"


def deposit(n, address=ADDRESS, contact=CONTACT): return {0: address, 1: contact, 2: sha256(b"withdraw %d" % n), 3: bytes([0xA0 + n]) * v.ENVELOPE}
def upload(n, parcels=4, place=0): return {0: FILE_KEYS(sha256(b"file %d" % n))[1], 1: parcels, 2: place}


ONE = [deposit(0)]
TWO = [deposit(0), deposit(1, OTHER, CONTACT_2)]
MANY = [deposit(n, R(32)) for n in range(17)]
SIZES = [4 * n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)]


def header(deposits, uploads=()): return {0: list(deposits), 1: list(uploads)}


def first_of(raw, size=None, beginning=v.BEGINNING):
    """Everything before the parcels, around a header that is encoded already, rightly or wrongly."""
    return beginning + v.u32(len(raw) if size is None else size) + raw


def made(V):
    def C(slug, about, deposits, uploads):
        i = {}
        for n, d in enumerate(deposits):
            i |= {f"deposit-{n}-address": d[0], f"deposit-{n}-contact": d[1], f"deposit-{n}-withdraw-hash": d[2], f"deposit-{n}-envelope": d[3]}
        for n, u in enumerate(uploads):
            i |= {f"upload-{n}-write-key": u[0], f"upload-{n}-parcels": u[1], f"upload-{n}-deposit": u[2]}
        V(f"case-make-{slug}", "§9.6", about, "ok", "case-make", i)

    C("accept-without-files", "One deposit and nothing to upload: the file ends with the header.", ONE, [])
    C("accept-two-addressees", "Two deposits, one file for both and one for each.", TWO, [upload(0), upload(1, 24), upload(2, 8, 1)])


def read(V):
    def C(slug, about, deposits, uploads):
        raw = encode(header(deposits, uploads))
        V(f"case-read-{slug}", "§9.6", about, "ok", "case-read",
          {"first": first_of(raw), "length": 20 + len(raw) + 262144 * sum(u[1] for u in uploads)})

    C("accept-without-files", "One deposit and nothing to upload: the file ends with the header.", ONE, [])
    C("accept-two-addressees", "Two deposits, three uploads, the last under the grant of the second deposit.", TWO,
      [upload(0), upload(1, 24), upload(2, 8, 1)])
    C("accept-17-deposits", "As many as there may be; an upload under the grant of the last.", MANY, [upload(0, 4, 16)])
    C("accept-every-size", "An upload of every size that there is.", ONE, [upload(n, size) for n, size in enumerate(SIZES)])
    C("accept-longest-relay-contact", "A host of 253 characters and a port of five digits.", [deposit(0, contact=LONGEST_CONTACT)], [])
    C("accept-relay-contact-in-upper-case", "The relay id in upper case means the same.",
      [deposit(0, contact=CONTACT.split(",")[0].upper() + "," + CONTACT.split(",")[1])], [])


def faults(V):
    ups = [upload(0), upload(1, 8)]
    rest = 262144 * 12

    def F(slug, about, expect, raw=encode(header(ONE, ups)), size=None, rest=rest, beginning=v.BEGINNING):
        first = first_of(raw, size, beginning)
        V(f"case-read-reject-{slug}", "§9.6", about, expect, "case-read", {"first": first, "length": len(first) + rest})

    def H(slug, about, deposits, uploads=ups, expect="bad-cbor"):
        F(slug, about, expect, encode(header(deposits, uploads)))

    F("another-beginning", "`valise2 sealed` and two zeros.", "bad-beginning", beginning=b"valise2 sealed\0\0")
    F("beginning-without-zeros", "The last byte of the beginning is a blank.", "bad-beginning", beginning=b"valise1 sealed\0 ")
    V("case-read-reject-nothing", "§9.6", "A file of no bytes.", "bad-beginning", "case-read", {"first": b"", "length": 0})
    V("case-read-reject-beginning-alone", "§9.6", "The file ends before the length of its header.", "bad-beginning", "case-read",
      {"first": v.BEGINNING + b"\0\0\0", "length": 19})
    V("case-read-reject-header-longer-than-allowed", "§9.6", "The length field says 16,777,217, and nothing more of the file is looked at.", "too-long",
      "case-read", {"first": first_of(b"", 16777217), "length": 20 + 16777217})
    whole = encode(header(ONE))
    V("case-read-reject-header-cut-short", "§9.6", "The file ends one byte before its header does.", "bad-length", "case-read",
      {"first": first_of(whole[:-1], len(whole)), "length": 20 + len(whole) - 1})
    F("header-of-no-bytes", "The length of the header is 0.", "bad-cbor", b"", rest=0)
    H("no-deposit", "A case without deposits.", [], [])
    H("18-deposits", "One too many.", [*MANY, deposit(17)])
    H("relay-contact-too-long", "A host of labels as long as may be, too many of them.",
      [deposit(0, contact=CONTACT.replace("mail", ".".join(["m" * 63] * 5)))], expect="bad-contact")
    H("host-of-254-characters", "The host in the relay contact has one character too many.", [deposit(0, contact=LONGEST_CONTACT.replace("bb", "bbb", 1))],
      expect="bad-contact")
    H("contact-of-a-mechanism", "The contact of a mechanism in the place of the relay's.", [deposit(0, contact=f"{v.bech32m('valise', ADDRESS)}@{CONTACT}")],
      expect="bad-contact")
    H("relay-contact-with-another", "A relay and the one that leads to it.", [deposit(0, contact=f"{CONTACT}/{CONTACT_2}")], expect="bad-contact")
    H("relay-contact-after-a-blank", "A blank before the relay contact.", [deposit(0, contact=" " + CONTACT)], expect="bad-contact")
    H("envelope-short-by-one", "65,535 bytes.", [deposit(0) | {3: deposit(0)[3][:-1]}])
    H("envelope-long-by-one", "65,537 bytes.", [deposit(0) | {3: deposit(0)[3] + b"\xa0"}])
    H("write-key-short-by-one", "31 bytes.", ONE, [upload(0), upload(1, 8) | {0: upload(1)[0][:-1]}])
    H("write-key-long-by-one", "33 bytes.", ONE, [upload(0), upload(1, 8) | {0: upload(1)[0] + b"\0"}])
    F("five-parcels", "An upload of 5 parcels: no file has so many.", "bad-cbor", encode(header(ONE, [upload(0, 5)])), rest=5 * 262144)
    F("no-parcels", "An upload of 0 parcels: an empty file has four.", "bad-cbor", encode(header(ONE, [upload(0, 0)])), rest=0)
    F("20-parcels", "An upload of 20 parcels, five steps: no file has so many.", "bad-cbor", encode(header(ONE, [upload(0, 20)])), rest=20 * 262144)
    F("24576-parcels", "One size more than the longest file has.", "bad-cbor", encode(header(ONE, [upload(0, 24576)])), rest=24576 * 262144)
    H("place-of-no-deposit", "An upload under the second deposit, of which there is one.", ONE, [upload(0), upload(1, 8, 1)], "bad-place")
    H("largest-place", "An upload under a deposit whose place is 2^64 − 1.", ONE, [upload(0), upload(1, 8, 2**64 - 1)], "bad-place")
    good = encode(header(ONE, ups))
    F("count-not-shortest", "The array of one deposit gives its length in two bytes.", "bad-cbor", good[:2] + b"\x98\x01" + good[3:])
    F("keys-not-ascending", "Key 1 before key 0.", "bad-cbor", b"\xa2" + b"\x01" + encode(ups) + b"\x00" + encode(ONE))
    F("byte-after-the-header", "The length of the header counts a zero byte after the map.", "bad-cbor", good + b"\0")
    F("parcel-short", "The last parcel is missing.", "wrong-length", rest=rest - 262144)
    F("byte-short", "The last byte of the last parcel is missing.", "wrong-length", rest=rest - 1)
    F("byte-more", "A byte after the last parcel.", "wrong-length", rest=rest + 1)
    F("parcel-more", "A parcel after the last.", "wrong-length", rest=rest + 262144)
    F("bytes-after-a-case-without-files", "The header says nothing of the four parcels that follow it.", "wrong-length", encode(header(ONE)), rest=4 * 262144)


def many_uploads(count):
    """A header with so many, all alike."""
    before, item = b"\xa2\x00" + encode(ONE) + b"\x01\x9a" + v.u32(count), encode(upload(0))
    out = v.Repeated(before, count, item)
    out.text = f"{pieces(before)} {count}*{item.hex()}"
    return out


def shapes(V):
    d, u = deposit(0), upload(0)
    drop = lambda item, key: {k: x for k, x in item.items() if k != key}
    good = [header([d]), header([d], [u]), header([d, d], [u, u]), header([d | {0: bytes(32), 2: bytes(32), 3: bytes(65536)}], [u | {0: bytes(32)}])]
    bad = [[[d], [u]], {0: [d]}, {1: [u]}, header([d], [u]) | {2: 0}, {0: d, 1: [u]}, {0: [d], 1: u}, {0: [d], 1: None},
           *(header([drop(d, n)]) for n in range(4)), *(header([d], [drop(u, n)]) for n in range(3)), header([d | {4: 0}]), header([d], [u | {3: 0}]),
           *(header([d | {n: bytes(size)}]) for n in (0, 2) for size in (31, 33)), header([d | {1: CONTACT.encode()}]),
           header([d | {3: b""}]), header([d | {3: "a" * 65536}]), header([d], [u | {1: b""}]), header([d], [u | {1: None}]), header([d], [u | {1: 2**32 + 4}]),
           header([d], [u | {2: b""}]), header([d], [u | {2: False}]), header([d], [u | {2: -1}]), {}, []]
    V("case-headers-table", "§9.6", "Good: without and with uploads, the same twice, keys of zeros, 170,017 uploads. Bad: 170,018; arrays for maps, keys "
      "missing or not given, one for an array of one, null, sizes of every field, bytes for text and text for bytes, what is no number, nothing.",
      "ok", "case-headers",
      {f"good-{n}": x for n, x in enumerate([*map(encode, good), many_uploads(v.UPLOADS)])} |
      {f"bad-{n}": x for n, x in enumerate([many_uploads(v.UPLOADS + 1), *map(encode, bad)])})
