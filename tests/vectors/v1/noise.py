"""The part of Noise (revision 34) that the specification uses."""
from cryptography.exceptions import InvalidTag

from .base import Reject, aead_open, aead_seal, expand, extract, sha256, x25519, x25519_pub


X_PSK0 = ("Noise_Xpsk0_25519_ChaChaPoly_SHA256", [["psk", "e", "es", "s", "ss"]])
XK_PSK2 = ("Noise_XKpsk2_25519_ChaChaPoly_SHA256", [["e", "es"], ["e", "ee", "psk"], ["s", "se"]])


class Cipher:
    """Noise §5.1."""
    def __init__(self, key): self.k, self.n = key, 0

    def _nonce(self):
        self.n += 1
        return bytes(4) + (self.n - 1).to_bytes(8, "little")

    def encrypt(self, ad, plain): return aead_seal(self.k, self._nonce(), ad, plain)

    def decrypt(self, ad, data, kind="bad-frame"):
        try:
            return aead_open(self.k, self._nonce(), ad, data)
        except InvalidTag:
            raise Reject(kind) from None


class Handshake:
    """Noise §5.2 and §5.3 for a pattern with the pre-message `<- s` and a psk modifier. Set .psk before its token."""
    def __init__(self, pattern, initiator, prologue, s=None, rs=None, dh=x25519):
        name, tokens = pattern
        self.h = self.ck = name.encode().ljust(32, b"\0") if len(name) <= 32 else sha256(name.encode())
        self.tokens, self.initiator, self.s, self.rs, self.dh = list(tokens), initiator, s, rs, dh
        self.cipher = self.psk = self.e = self.re = None
        self.mix_hash(prologue)
        self.mix_hash(rs if initiator else x25519_pub(s))

    @staticmethod
    def _pub(private): return x25519_pub(private) if private else bytes(32)

    def mix_hash(self, data): self.h = sha256(self.h, data)

    def mix_key(self, ikm, count=2):
        out = expand(extract(self.ck, ikm), b"", 32 * count)
        self.ck = out[:32]
        if count == 3:
            self.mix_hash(out[32:64])
        self.cipher = Cipher(out[-32:])

    def _dh(self, token):
        mine = {"ee": "ee", "ss": "ss", "es": "es" if self.initiator else "se",
                "se": "se" if self.initiator else "es"}[token]
        self.mix_key(self.dh(self.e if mine[0] == "e" else self.s, self.re if mine[1] == "e" else self.rs))

    def _encrypt(self, data):
        out = self.cipher.encrypt(self.h, data) if self.cipher else data
        self.mix_hash(out)
        return out

    def _decrypt(self, data):
        out = self.cipher.decrypt(self.h, data, "bad-handshake") if self.cipher else data
        self.mix_hash(data)
        return out

    def write(self, payload, e=None):
        out = b""
        for t in self.tokens.pop(0):
            if t == "e":
                self.e = e
                out += self._pub(e)
                self.mix_hash(self._pub(e))
                self.mix_key(self._pub(e))                    # psk handshakes mix e into the key as well (§9.2)
            elif t == "s":
                out += self._encrypt(self._pub(self.s))
            elif t == "psk":
                self.mix_key(self.psk, 3)
            else:
                self._dh(t)
        return out + self._encrypt(payload)

    def read(self, data):
        for t in self.tokens.pop(0):
            if t == "e":
                self.re, data = data[:32], data[32:]
                self.mix_hash(self.re)
                self.mix_key(self.re)
            elif t == "s":
                part, data = data[:48 if self.cipher else 32], data[48 if self.cipher else 32:]
                self.rs = self._decrypt(part)
            elif t == "psk":
                self.mix_key(self.psk, 3)
            else:
                self._dh(t)
        return self._decrypt(data)

    def split(self):
        out = expand(extract(self.ck, b""), b"", 64)
        return Cipher(out[:32]), Cipher(out[32:])
