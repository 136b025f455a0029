"""Vectors of §9: keys of a file, parcels, padding, whole files, attachments and lists."""
import v1 as v
from v1 import Repeated, encode, sha256
from . import ops
from .world import (ADDRESS, DEFENDER, ENTROPY, FILE_KEYS, FILES, LIST_FILE, LIST_OF_FILES, OTHER, PHOTO, adder, array_of, attached, attachment,
                    content)


def scenarios():
    out = []
    V = adder(out)
    keys(V), parcels(V), padding(V), files(V), attachments(V), lists(V), writers(V)
    return out


FILE = b"A test file, of whatever content.\n"
H = sha256(FILE)
FK = FILE_KEYS(H)[0]
PLAIN = b"".join(b"chunk %d" % j + bytes([0x61 + j]) * (v.CHUNK_PLAIN - 7) for j in range(4))


def keys(V):
    K = lambda slug, about, **o: V(f"file-keys-{slug}", "§3 §9.1", about, "ok", "file-keys", {"entropy": ENTROPY} | o | {"h": H})
    K("accept-root", "The base is root: one upload serves all addressees.")
    K("accept-one-addressee", "The base is R of one addressee.", address=ADDRESS)
    K("accept-another-addressee", "The base is R of another addressee: nothing is shared.", address=OTHER)


def parcels(V):
    def S(slug, about, expect, number, count, plain=PLAIN):
        V(f"parcel-seal-{slug}", "§9.2", about, expect, "parcel-seal", {"FK": FK, "number": number, "count": count, "plain": plain})

    def O(slug, about, expect, number, count, plain=PLAIN, **how):
        i = {"FK": FK, "number": number, "count": count, "plain": plain} | {k.replace("_", "-"): x for k, x in how.items()}
        i["parcel-sha256"] = sha256(ops.parcel_of({k: str(x) if type(x) is int else x for k, x in i.items()}))
        V(f"parcel-open-{slug}", "§9.2", about, expect, "parcel-open", i)

    zeros = Repeated(b"", v.PARCEL_PLAIN, b"\0")
    S("accept-first", "The first of 12.", "ok", 0, 12)
    S("accept-middle", "The same plaintext in the middle: all four nonces are others.", "ok", 5, 12)
    S("accept-last", "The last of 12: its last chunk says so.", "ok", 11, 12)
    S("accept-zeros", "Nothing but padding.", "ok", 3, 4, zeros)
    S("accept-largest-number", "The last parcel of the longest file.", "ok", 16383, 16384, zeros)
    S("reject-plaintext-short-by-one", "262,031 bytes of plaintext.", "wrong-length", 0, 12, PLAIN[:-1])
    O("accept-first", "The first of 12.", "ok", 0, 12)
    O("accept-last", "The last of 12.", "ok", 11, 12)
    O("accept-largest-number", "The last parcel of the longest file.", "ok", 16383, 16384)
    O("reject-altered-first-chunk", "One bit of the first chunk's ciphertext changed.", "bad-parcel", 5, 12, flip=12)
    O("reject-altered-nonce", "One bit of the second chunk's nonce changed.", "bad-parcel", 5, 12, flip=v.CHUNK + 11)
    O("reject-another-nonce", "The third chunk is sealed with a nonce of the writer's choice.", "bad-parcel", 5, 12, nonce_of=2, nonce=bytes(range(12)))
    O("reject-nonce-of-zeros", "The first chunk is sealed with a nonce of zeros.", "bad-parcel", 5, 12, nonce_of=0, nonce=bytes(12))
    O("reject-altered-last-tag", "The last bit of the parcel changed.", "bad-parcel", 5, 12, flip=v.PARCEL - 1)
    O("reject-another-place", "Sealed as parcel 4, opened as parcel 5.", "bad-parcel", 5, 12, sealed_number=4)
    O("reject-chunks-exchanged", "The second and the third chunk stand in each other's place.", "bad-parcel", 5, 12, order="0 2 1 3")
    O("reject-cut-short", "Parcel 7 of a file of 12 parcels where the file is said to have 8: its last chunk does not say that it is the last.",
      "bad-parcel", 7, 8, sealed_count=12)
    O("reject-grown", "The last parcel of a file of 8 where the file is said to have 12: its last chunk says that it is the last.",
      "bad-parcel", 7, 12, sealed_count=8)
    O("reject-another-file-key", "Sealed under the key of the same file for one addressee.", "bad-parcel", 5, 12,
      sealed_FK=FILE_KEYS(H, ADDRESS)[0])
    O("reject-short-by-one", "262,143 bytes.", "wrong-length", 5, 12, size=v.PARCEL - 1)
    O("reject-long-by-one", "A zero byte after the parcel.", "wrong-length", 5, 12, size=v.PARCEL + 1)
    O("reject-one-chunk", "The first chunk alone.", "wrong-length", 5, 12, size=v.CHUNK)


def padding(V):
    P = lambda slug, about, expect, *lengths: V(f"padding-{slug}", "§9.3", about, expect, "padding",
                                                {f"length-{n}": x for n, x in enumerate(lengths)})
    steps = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096]
    full = [4 * n * v.PARCEL_PLAIN for n in steps]
    P("accept", "An empty file, one byte, a mebibyte; then every size that is filled, and one byte more.", "ok", 0, 1, 1 << 20,
      *sorted(full + [x + 1 for x in full[:-1]]))
    P("reject-length-above-the-longest", "One byte more than the longest file.", "too-long", v.LONGEST + 1)


def files(V):
    def F(slug, about, expect, a, plain):
        V(f"file-{slug}", "§9.2 §9.3 §9.4", about, expect, "file",
          {"attachment": encode(a), "plain": plain, "parcels-sha256": sha256(*v.seal_file(a[0], plain))})

    def count(data, n): return data.ljust(n * v.PARCEL_PLAIN, b"\0")

    full = b"\x61" * (4 * v.PARCEL_PLAIN)
    F("accept-small", "A file of a few bytes in four parcels.", "ok", attached(FILE), v.pad_file(FILE))
    F("accept-empty", "An empty file: four parcels of zeros.", "ok", attached(b""), v.pad_file(b""))
    F("accept-without-padding", "A file that fills four parcels.", "ok", attached(full), full)
    F("accept-one-byte-more", "A file of one byte more: eight parcels.", "ok", attached(full + b"b"), v.pad_file(full + b"b"))
    F("accept-ends-with-zeros", "Zeros at the end of the file are the file's.", "ok", attached(FILE + bytes(9)), v.pad_file(FILE + bytes(9)))
    F("accept-list", "The list of 136 files (see list-accept and content-accept-list).", "ok", LIST_FILE, v.pad_file(LIST_OF_FILES))
    F("reject-not-zero-after-the-end", "The last byte of the last parcel is 1.", "bad-padding", attached(FILE), v.pad_file(FILE)[:-1] + b"\1")
    F("reject-length-too-small", "The length given is one byte less than the file's, and the hash is of what is left of it.", "bad-padding",
      attached(FILE) | {2: len(FILE) - 1, 3: sha256(FILE[:-1])}, v.pad_file(FILE))
    F("reject-length-too-large", "The length given is one byte more than the file's.", "wrong-hash", attached(FILE) | {2: len(FILE) + 1}, v.pad_file(FILE))
    F("reject-another-hash", "All parcels open, but what is in them is another file.", "wrong-hash", attached(FILE), v.pad_file(b"B" + FILE[1:]))
    F("reject-five-parcels", "The file needs five parcels and was not padded to eight; the fifth is the last.", "wrong-length", attached(full + b"b"),
      count(full + b"b", 5))
    F("reject-more-padding-than-least", "The file has eight parcels where four would hold it.", "wrong-length", attached(FILE), count(FILE, 8))
    F("reject-cut-short", "Four parcels of a file that has eight; the fourth is the last.", "wrong-length", attached(full + b"b"), full)


def attachments(V):
    def T(slug, about, expect, a):
        V(f"attachment-{slug}", "§9.4", about, expect, "attachment", {"attachment": encode(a)})

    drop = lambda key: {k: x for k, x in PHOTO.items() if k != key}
    T("accept", "Every field.", "ok", PHOTO)
    T("accept-without-name", "The name is optional.", "ok", drop(4))
    T("accept-longest", "The longest file, the longest name and the longest media type.", "ok", PHOTO | {2: v.LONGEST, 4: "n" * 255, 5: "~" * 127})
    T("reject-length-above-the-longest", "One byte more than the longest file.", "bad-cbor", PHOTO | {2: v.LONGEST + 1})
    T("reject-name-empty", "A name of no bytes.", "bad-cbor", PHOTO | {4: ""})
    T("reject-name-of-256-bytes", "256 bytes in 128 characters.", "bad-cbor", PHOTO | {4: "é" * 128})
    T("reject-media-type-empty", "A media type of no bytes.", "bad-cbor", PHOTO | {5: ""})
    T("reject-media-type-of-128-bytes", "One character too many.", "bad-cbor", PHOTO | {5: "a" * 128})
    T("reject-media-type-with-a-blank", "A blank is not a graphic character.", "bad-cbor", PHOTO | {5: "text/plain; charset=utf-8"})
    T("reject-metadata-4", "A value that there is not.", "bad-cbor", PHOTO | {6: 4})
    good = [PHOTO, drop(4), PHOTO | {2: 0}, PHOTO | {4: "é" * 127}, PHOTO | {4: "../\0\u202e"}, PHOTO | {5: "!"}, *(PHOTO | {6: n} for n in range(4))]
    bad = [*(drop(n) for n in (0, 1, 2, 3, 5, 6)), *(PHOTO | {n: bytes(size)} for n in (0, 1, 3) for size in (31, 33)), PHOTO | {2: v.LONGEST + 1},
           PHOTO | {2: 2**32}, PHOTO | {2: b""}, PHOTO | {4: ""}, PHOTO | {4: "n" * 256}, PHOTO | {4: b"n"}, PHOTO | {4: None}, PHOTO | {5: ""},
           PHOTO | {5: "a" * 128}, PHOTO | {5: "a b"}, PHOTO | {5: "a\x7f"}, PHOTO | {5: "a\n"}, PHOTO | {5: "é"}, PHOTO | {5: b"a"},
           PHOTO | {6: 4}, PHOTO | {6: False}, PHOTO | {7: 0}, [PHOTO], {}]
    V("attachments-table", "§9.4", "Sizes of every field, values of length, name, media type and metadata, keys missing or not given, an array, nothing.",
      "ok", "attachments", {f"good-{n}": encode(x) for n, x in enumerate(good)} | {f"bad-{n}": encode(x) for n, x in enumerate(bad)})


def lists(V):
    L = lambda slug, about, expect, raw: V(f"list-{slug}", "§9.4", about, expect, "list", {"list": raw})
    L("accept", "136 files, in more than 16,384 bytes.", "ok", LIST_OF_FILES)
    L("accept-short", "Two files: a list has any length.", "ok", encode(FILES))
    L("accept-16384-bytes", "As many bytes as an array may have.", "ok", encode(array_of(16384)))
    L("reject-none", "No attachment.", "bad-cbor", encode([]))
    L("reject-one-that-is-none", "The second of two has no media type.", "bad-cbor", encode([FILES[0], {k: x for k, x in FILES[1].items() if k != 5}]))
    L("reject-an-attachment", "An attachment where the array is wanted: a list does not name another list.", "bad-cbor", encode(LIST_FILE))
    L("reject-bytes-after", "A zero byte after the array, as of the padding.", "bad-cbor", LIST_OF_FILES + b"\0")
    L("reject-not-ascending", "The greater namespace first.", "not-ascending", encode(FILES[::-1]))
    L("reject-last-not-ascending", "Of 136 files the last two stand in each other's place.", "not-ascending",
      encode([*v.decode(LIST_OF_FILES)[:-2], *v.decode(LIST_OF_FILES)[:-3:-1]]))
    L("reject-namespace-twice", "The same namespace twice, under two names.", "not-ascending", encode([PHOTO, PHOTO | {4: "photo 2.jpg"}]))

    def LL(slug, about, expect, a, count):
        i = {"attachment": encode(a), "count": str(count)}
        V(f"long-list-{slug}", "§9.4", about, expect, "long-list", i | {"list-sha256": sha256(ops.long_list_of(i))})

    LL("accept-10000", "The most that there may be.", "ok", attachment(1), 10000)
    LL("accept-10000-longest", "The most that there may be, with every field as long as it may be.", "ok", PHOTO | {2: v.LONGEST, 4: "n" * 255, 5: "~" * 127}, 10000)
    LL("reject-10001", "One too many.", "bad-cbor", attachment(1), 10001)


def writers(V):
    def W(slug, about, files, base=DEFENDER.root, **c):
        V(f"attach-{slug}", "§9.1 §9.4", about, "ok", "attach",
          {"base": base, "content": content(**c)} | {f"attachment-{n}": encode(a) for n, a in enumerate(files)})

    few = [attachment(n) for n in range(40)]
    room = v.CONTENT_SIZE - len(content(text="a" * 50000, files=few)) + 50000
    W("accept-one", "One file is an array too.", [PHOTO])
    W("accept-in-order", "Two files, given in their order.", FILES)
    W("accept-out-of-order", "The same two in the other order make the same content.", FILES[::-1])
    W("accept-equal-files", "A file twice under two names, and another: the first name stands, because its encoding is the lesser.", [*FILES, PHOTO | {4: "photo 2.jpg"}])
    W("accept-equal-files-in-another-order", "The same in the other order make the same content.", [PHOTO | {4: "photo 2.jpg"}, *FILES[::-1]])
    W("accept-equal-files-of-which-one-has-no-name", "An attachment with a name and one without: the one without has the lesser encoding.",
      [PHOTO, {k: x for k, x in PHOTO.items() if k != 4}])
    W("accept-array-of-16384", "The array has 16,384 bytes.", array_of(16384))
    W("accept-list-of-16385", "The array has a byte more, and becomes a list.", array_of(16385))
    W("accept-list-of-16385-for-one-addressee", "The same list under R of one addressee.", array_of(16385), DEFENDER.R)
    W("accept-list-out-of-order", "The same 136 files as in list-accept, in no order.", v.decode(LIST_OF_FILES)[::-3] + v.decode(LIST_OF_FILES)[-2::-3] +
      v.decode(LIST_OF_FILES)[-3::-3])
    W("accept-content-of-54000", "With the array the content has 54,000 bytes.", few, text="a" * room)
    W("accept-list-for-a-content-of-54001", "With the array the content would have a byte more: a list of 40 files.", few, text="a" * (room + 1))
    W("accept-longest-content-before-files", "Text, note and other addressees as long as they may be; three files with the longest names do not fit.",
      [attachment(n) | {4: "n" * 255, 5: "~" * 127} for n in range(3)], h={0: 1, 1: 1, 3: "n" * 2000, 6: "a" * 35}, text="a" * 50000,
      others=[bytes(31) + bytes([n]) for n in range(1, 17)])
