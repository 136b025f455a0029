"""§2 and §3: ids, text forms, comparison words, pseudonyms, the return phrase and what follows from it."""
import ipaddress
import re
from dataclasses import dataclass

from mnemonic import Mnemonic

from .base import Reject, argon2id, expand, require, sha256

WORDS = Mnemonic("english").wordlist


def address_of(root): return sha256(b"valise1/address", root)                                                # §2.1
def relay_id_of(identity): return sha256(b"valise1/relay", identity)                                         # §2.1
def mailbox_of(public): return sha256(b"valise1/mailbox", public)                                            # §2.1
def prekey_hash(x, ek): return sha256(x, ek)                                                                 # §2.1


CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def _polymod(values):
    chk = 1
    for v in values:
        top, chk = chk >> 25, (chk & 0x1FFFFFF) << 5 ^ v
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            chk ^= g if top >> i & 1 else 0
    return chk


def _hrp(hrp): return [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]


def bech32m(hrp, data, values=None, const=0x2BC830A3):                                                       # §2.2
    bits = len(data) * 8
    pad = -bits % 5
    n = int.from_bytes(data, "big") << pad
    values = values or [n >> i & 31 for i in range(bits + pad - 5, -1, -5)]
    chk = _polymod(_hrp(hrp) + values + [0] * 6) ^ const
    return hrp + "1" + "".join(CHARSET[v] for v in values + [chk >> 5 * (5 - i) & 31 for i in range(6)])


def bech32m_read(hrp, text, size=None):                                                                      # §2.2
    require(text in (text.lower(), text.upper()), "mixed-case")
    text = text.lower()
    got, sep, rest = text.rpartition("1")
    require(sep and len(rest) >= 6 and all(c in CHARSET for c in rest), "bad-character")
    values = [CHARSET.index(c) for c in rest]
    require(_polymod(_hrp(got) + values) == 0x2BC830A3, "bad-checksum")
    require(got == hrp, "wrong-prefix")
    bits = len(values[:-6]) * 5
    n = 0
    for v in values[:-6]:
        n = n << 5 | v
    require(bits % 8 < 5 and (size is None or bits // 8 == size), "wrong-length")
    require(n & (1 << bits % 8) - 1 == 0, "bad-padding")
    return (n >> bits % 8).to_bytes(bits // 8, "big")


LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def check_host(host):                                                                                        # §2.2
    try:
        if host.startswith("[") and host.endswith("]"):
            require("%" not in host, "bad-host", "a zone")
            ipaddress.IPv6Address(host[1:-1])
        elif re.fullmatch("[0-9.]*", host):
            ipaddress.IPv4Address(host)
        else:
            require(len(host) <= 253 and re.fullmatch(rf"{LABEL}(\.{LABEL})*\.?", host), "bad-host")
    except ValueError:
        raise Reject("bad-host") from None


def relay_contact_read(text):                                                                                # §2.2
    rid, comma, place = text.partition(",")
    host, colon, port = place.rpartition(":")
    require(comma and colon, "bad-contact")
    require(re.fullmatch("[1-9][0-9]{0,4}", port) and int(port) < 65536, "bad-port")
    check_host(host)
    return bech32m_read("relay", rid, 32), host, int(port)


def contact_read(text):                                                                                      # §2.2
    head, *ways = text.strip().split("@")
    require(not re.search(r"\s", text.strip()), "white-space")
    require(1 <= len(ways) <= 8, "too-many-ways")
    out = []
    for way in ways:
        parts = way.split("/")
        require(len(parts) <= 2, "bad-contact")
        out.append([relay_contact_read(p) for p in parts])
    return bech32m_read("valise", head, 32), out


def _index_words(data, count):
    n, bits = int.from_bytes(data, "big"), len(data) * 8
    return [WORDS[n >> bits - 11 * (i + 1) & 2047] for i in range(count)]


def comparison_words(x):                                                                                     # §2.3
    return _index_words(argon2id(x, "valise1/words"), 6)


def pseudonym(send_public, words=2):                                                                         # §2.4
    return "-".join(_index_words(sha256(b"valise1/pseudonym", send_public), words))


def phrase_of(entropy):                                                                                      # §3
    return " ".join(_index_words(entropy + sha256(entropy)[:2], 12))


def phrase_read(text):                                                                                       # §3
    words = text.lower().split()
    require(len(words) == 12, "wrong-number-of-words")
    for w in words:
        require(w in WORDS, "word-not-listed", w)
    n = 0
    for w in words:
        n = n << 11 | WORDS.index(w)
    entropy = (n >> 4).to_bytes(16, "big")
    require(n & 15 == sha256(entropy)[0] >> 4, "bad-words-checksum")
    return entropy


@dataclass
class Defender:
    """What follows from the phrase and the mechanism's address."""
    root: bytes
    address: bytes

    def __post_init__(self):                                                                                 # §3
        self.R = expand(self.root, b"valise1/mechanism" + self.address)
        self.send = expand(self.R, "valise1/send")
        self.reply = expand(self.R, "valise1/reply")
        self.reply_kem = expand(self.R, "valise1/reply-kem", 64)

    def mailbox_key(self, relay_id): return expand(self.R, b"valise1/mailbox-key" + relay_id)                # §3

    def tag(self, content, relay_id):                                                              # §3
        t = expand(self.R, b"valise1/message" + sha256(content))
        return {"T": t, "id": expand(t, "valise1/id", 16), "withdraw": expand(t, b"valise1/withdraw" + relay_id)}


def phrase_root(entropy): return argon2id(entropy, "valise1/phrase")                                         # §3
