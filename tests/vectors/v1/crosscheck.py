"""The Noise core against another library (ML-KEM: `kem` and every slot opened compare two libraries already)."""
from noise.connection import Keypair, NoiseConnection

import v1 as v
from v1 import Rng


def crosscheck():
    r = Rng("crosscheck")
    for pattern in (v.X_PSK0, v.XK_PSK2):
        s, rs, ei, er, psk = r(32), r(32), r(32), r(32), r(32)
        mine = [v.Handshake(pattern, True, b"p", s=s, rs=v.x25519_pub(rs)), v.Handshake(pattern, False, b"p", s=rs)]
        theirs = []
        for first, own, e in ((True, s, ei), (False, rs, er)):
            n = NoiseConnection.from_name(pattern[0].encode())
            n.set_psks(psk)
            n.set_prologue(b"p")
            n.set_as_initiator() if first else n.set_as_responder()
            n.set_keypair_from_private_bytes(Keypair.STATIC, own)
            n.set_keypair_from_private_bytes(Keypair.EPHEMERAL, e)
            if first:
                n.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, v.x25519_pub(rs))
            n.start_handshake()
            theirs.append(n)
        for k in range(len(pattern[1])):
            a, b = k % 2, 1 - k % 2
            mine[0].psk = mine[1].psk = psk
            ours, other = mine[a].write(b"pay", (ei, er)[a]), bytes(theirs[a].write_message(b"pay"))
            assert ours == other, pattern[0]
            assert mine[b].read(other) == b"pay" and theirs[b].read_message(ours) == b"pay"
        assert mine[0].h == mine[1].h == theirs[0].get_handshake_hash()
        if k == 2:
            up, down = mine[0].split()
            assert up.encrypt(b"", b"frame") == theirs[0].encrypt(b"frame")
            assert down.encrypt(b"", b"frame") == theirs[1].encrypt(b"frame")
        print(pattern[0], "agrees with noiseprotocol")
    return 0
