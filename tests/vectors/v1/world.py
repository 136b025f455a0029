"""The world of the scenarios: keys, a mechanism with its roots, devices and relays, a defender."""
import v1 as v
from v1 import DAY, Rng, encode, sha256

NOW = 1_800_000_000          # the reader's clock in every scenario; a multiple of 3,600
HOUR_NOW = NOW // 3600 * 3600


def adder(vectors):
    """V(slug, sections, one sentence, expect, op, inputs)."""
    def V(slug, spec, about, expect, op, inputs):
        vectors.append((slug, {"op": op, "expect": expect, "spec": spec, "about": about}, inputs))
    return V


def flip(data, at=-1):
    """One bit of one byte changed."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


class Key:
    """A device, or one defender's phrase."""
    def __init__(self, seed):
        r = Rng("valise vectors 1/" + seed)
        self.signing, self.identity, self.link, self.x, self.seed = r(32), r(32), r(32), r(32), r(64)
        self.pub = {0: v.ed25519_pub(self.signing), 1: v.x25519_pub(self.identity), 2: v.x25519_pub(self.link)}
        self.prekey = v.x25519_pub(self.x), v.kem_ek(self.seed)


ROOT = [Rng(f"valise vectors 1/root/{n}")(32) for n in range(4)]
ADDRESS = v.address_of(v.ed25519_pub(ROOT[0]))
OTHER = v.address_of(v.ed25519_pub(ROOT[3]))
DEV = [Key(f"device/{n}") for n in range(9)]
ENTROPY = Rng("valise vectors 1/phrase")(16)
RELAY = Key("relay")
RELAY_ID = v.relay_id_of(RELAY.pub[0])
SECOND = Key("relay/2")
RELAY_2 = v.relay_id_of(SECOND.pub[0])
CONTACT = f"{v.bech32m('relay', RELAY_ID)},mail.example.org:443"
PIN = sha256(b"stand-in for a SubjectPublicKeyInfo")


def descriptor(o={}, drop=(), relay=RELAY):
    f = {2: relay.pub[1], 3: PIN, 6: "mail.example.org", 7: 443, 8: "Example Operator", 9: "CH", 10: [14, 45],
         11: [RELAY_2], 12: NOW - DAY, 13: NOW + 30 * DAY} | o
    return v.make_descriptor(relay.signing, {k: x for k, x in f.items() if k not in drop})


PROFILE = {0: {"en": "Example mandate", "fr": "Mandat d’exemple"}, 1: ["en", "es", "fr"], 2: ["consent"], 3: True}


def roster(n=3, o={}):
    return encode({0: ADDRESS, 1: 7, 2: NOW - 10 * DAY, 3: NOW + 60 * DAY, 4: [d.pub for d in DEV[:n]],
                   5: [descriptor()], 6: PROFILE} | o)


def statement(d, o={}, signing=None):
    f = {0: ADDRESS, 1: d.pub[0], 2: 7, 3: NOW - DAY, 4: d.prekey[0], 5: d.prekey[1]} | o
    return v.make_statement(signing or d.signing, encode(f))


def card(n=3, o={}, statements=None, roots=1):
    return v.make_card(ROOT[:roots], roster(n, o), [statement(d) for d in DEV[:n]] if statements is None else statements)


def proof(n=2, o={}, roots=1):
    c = v.decode(card(n, o, [], roots))
    return {0: c[0], 1: c[1], 2: c[2]}


HANDLING = {0: 2, 1: 0, 2: 1, 4: 1, 5: 1, 6: "en"}


def content(h={}, drop=(), text="A test submission.", others=(), files=None):
    c = {0: text, 1: {k: x for k, x in (HANDLING | h).items() if k not in drop}, 2: list(others)}
    return encode(c if files is None else c | {3: files})


def submission(d, c=None, o={}, keys={}, relay=RELAY_ID):
    c = content() if c is None else c
    mk = v.x25519_pub(d.mailbox_key(relay))
    rk = {0: v.x25519_pub(d.reply), 1: v.kem_ek(d.reply_kem), 2: v.mailbox_of(mk), 3: relay} | keys
    return encode({0: 1, 1: d.tag(c, relay)["id"], 2: 7, 3: rk, 4: c} | o)


def raw_map(*pairs):
    """A CBOR map with the given already encoded keys and values, in the given order, right or wrong."""
    return bytes([0xA0 + len(pairs)]) + b"".join(a + b for a, b in pairs)


DEFENDER = v.Defender(v.phrase_root(ENTROPY), ADDRESS)


def FILE_KEYS(h, address=None):
    """(FK, write key, its public key, namespace) for all addressees, or for one."""
    root = DEFENDER.root
    return v.file_keys(v.Defender(root, address).R if address else root, h)


def attachment(n):
    """A small one with nothing behind it: 122 bytes. In the order of n, up to 223, the namespaces ascend."""
    return {0: bytes([16 + n]) * 32, 1: bytes([32 + n]) * 32, 2: n % 24, 3: bytes([(48 + n) % 256]) * 32, 5: "text/plain", 6: 0}


def ordered(*attachments): return sorted(attachments, key=lambda a: a[1])


def attached(data, name=None, media="application/octet-stream", metadata=0):
    """The attachment of a file."""
    h = sha256(data)
    fk, _, _, n = FILE_KEYS(h)
    return {0: fk, 1: n, 2: len(data), 3: h, 5: media, 6: metadata} | ({4: name} if name else {})


def array_of(size):
    """An array of 134 attachments with an encoding of so many bytes: the name of one of them makes it as long as wanted."""
    files = [attachment(n) for n in range(134)]
    files[7][4] = "n" * (size - len(encode(files)) - 3)
    assert len(encode(files)) == size
    return files


PHOTO = attached(b"stand-in for a photograph", "photo 1.jpg", "image/jpeg", 3)
LETTER = attached(b"stand-in for a letter", media="application/pdf", metadata=1)
FILES = ordered(PHOTO, LETTER)
LIST_OF_FILES = encode(ordered(PHOTO, LETTER, *map(attachment, range(134))))     # 16,384 bytes do not hold it
LIST_FILE = attached(LIST_OF_FILES, media="application/cbor")
