"""What each `op` of a vector does: inputs -> outputs, or Reject. README.md lists them."""
import v1 as v
from v1 import Rng, encode, sha256


def many(i, pattern):
    """The values of pattern % 0, pattern % 1, ... as far as they go."""
    out = []
    while pattern % len(out) in i:
        out.append(i[pattern % len(out)])
    return out


def all_refused(items, read, *kinds):
    """For tables: every item is refused, for a reason of one of these kinds."""
    for item in items:
        try:
            read(item)
        except v.Reject as why:
            assert why.kind in kinds, (item, why)
        else:
            raise AssertionError(f"accepted: {item}")
    return {}


def op_phrase(i): return {"entropy": v.phrase_read(i["words"])}


def op_phrase_keys(i):
    root = v.phrase_root(i["entropy"])
    d = v.Defender(root, i["address"])
    t, mk = d.tag(i["content"], i["relay-id"]), d.mailbox_key(i["relay-id"])
    return {"words": v.phrase_of(i["entropy"]), "root": root, "R": d.R, "send": d.send, "send-public": v.x25519_pub(d.send),
            "reply": d.reply, "reply-public": v.x25519_pub(d.reply), "reply-kem": d.reply_kem,
            "reply-ek": v.kem_ek(d.reply_kem), "mailbox-key": mk, "mailbox-public": v.x25519_pub(mk),
            "mailbox-id": v.mailbox_of(v.x25519_pub(mk)), "T": t["T"], "id": t["id"], "withdraw": t["withdraw"],
            "withdraw-hash": sha256(t["withdraw"])}


def op_ids(i):
    a, r = v.address_of(i["root-public"]), v.relay_id_of(i["relay-identity"])
    return {"address": a, "address-text": v.bech32m("valise", a), "relay-id": r, "relay-text": v.bech32m("relay", r)}


def op_text(i):
    size = None if i["prefix"] == "valise-device" else 32
    return {"bytes": v.bech32m_read(i["prefix"], i["text"], size)}


def op_contact(i):
    address, ways = v.contact_read(i["text"])
    out = {"address": address}
    for n, way in enumerate(ways):
        for m, (rid, host, port) in enumerate(way):
            out |= {f"way-{n}-{m}-relay-id": rid, f"way-{n}-{m}-host": host, f"way-{n}-{m}-port": port}
    return out


def op_relay_contacts(i):
    for text in many(i, "good-%d"):
        v.relay_contact_read(text)
    return all_refused(many(i, "bad-%d"), v.relay_contact_read, "bad-host", "bad-port", "bad-contact")


def op_words(i): return {"words": " ".join(v.comparison_words(i["x"]))}
def op_pseudonym(i): return {"two": v.pseudonym(i["send-public"]), "three": v.pseudonym(i["send-public"], 3)}
def op_x25519(i): return {"shared": v.x25519(i["private"], i["public"])}
def op_ed25519(i): v.ed25519_verify(i["public"], i["signature"], i["message"]); return {}


def op_kem(i):
    ek = v.kem_ek(i["seed"])
    ct, ss = v.kem_encaps(ek, i["randomness"])
    assert v.kem_decaps(i["seed"], ct) == ss
    return {"ek": ek, "ct": ct, "ss": ss}


def op_kem_check(i): v.kem_check(i["ek"]); return {}


def op_seal(i):
    slots = []
    for n in range(8):
        g = lambda name: i[f"slot-{n}-{name}"]
        slots.append(dict(x=v.x25519_pub(g("x25519-private")), ek=v.kem_ek(g("kem-seed")), payload=g("payload"),
                          writer=i["writer-private"], e=g("ephemeral-private"), m=g("encaps-randomness")))
    return {"envelope": v.seal(i["K"], i["salt"], i["message"], i["address"], slots)}


def op_readers(i):
    v.plan_slots([(bytes(32), bytes(1184))] * int(i["readers"]), bytes(32), bytes(32), Rng("unused"))
    return {}


def op_open(i):
    keys = list(zip(many(i, "prekey-%d-x25519-private"), many(i, "prekey-%d-kem-seed")))
    o = v.open_envelope(i["envelope"], i["address"], keys)
    return {"K": o["K"], "writer": o["writer"], "slot": o["slot"], "D": o["D"], "digest": sha256(i["envelope"]),
            "message": o["message"]}


def op_message(i):
    m = v.check_message(i["message"], i["mailbox"], i["address"], i["writer"], many(i, "current-identity-%d") or None)
    return m


def op_content(i): v.check_content(i["content"], i["address"]); return {"sha256": sha256(i["content"])}


def op_cbor(i):
    for raw in many(i, "good-%d"):
        v.check_content(raw, i["address"])
    return all_refused(many(i, "bad-%d"), lambda raw: v.check_content(raw, i["address"]), "bad-cbor")


def op_card(i):
    known = v.Known(many(i, "known-root-%d"), int(i.get("known-epoch", 0)), i.get("known-roster"))
    relay = i["reader"] == "relay"
    c = v.check_card(i["card"], i["address"], int(i["now"]), known, relay, i["reader"] == "sender-goes-on")
    out = {"epoch": c["roster"][1], "devices": c["devices"]}
    for name, key in ("relay", 5), ("reading-relay", 7):
        out |= {f"{name}-{n}": r for n, r in enumerate(v.roster_relays(c["roster"], key))}
    if relay:
        return out
    return out | {"fresh": c["fresh"]} | {f"reader-{n}": v.prekey_hash(*r) for n, r in enumerate(c["readers"])}


def op_publish(i): return {"held-after": v.relay_publish(i.get("held"), i["card"], i["client-static"], int(i["now"]))}


def op_device_request(i):
    r = v.read_device_request(i["request"])
    return {"signing-key": r[1], "identity-key": r[2], "link-key": r[3], "text": v.bech32m("valise-device", i["request"]),
            "words": " ".join(v.comparison_words(i["request"]))}


def op_descriptor(i):
    d = v.check_descriptor(i["descriptor"], i["relay-id"], int(i["now"]))
    return {"static-key": d[2], "tls-pin": d[3], "host": d[6], "port": d[7]}


def op_certificate(i): return {"static-key": v.check_certificate(i["certificate"], i["relay-id"], int(i["now"]))[2]}


def _client(i):
    return v.Client(v.x25519_pub(i["relay-static-private"]), i["relay-id"], i["client-static-private"],
                    i["client-ephemeral-private"], i["client-kem-seed"])


def op_link(i):
    c, r = _client(i), v.Relay(i["relay-static-private"], i["relay-id"])
    m1 = c.message_1()
    r.read_1(m1)
    m2 = r.message_2(i["relay-ephemeral-private"], i["relay-encaps-randomness"])
    c.read_2(m2)
    m3 = c.message_3()
    assert r.read_3(m3) == v.x25519_pub(i["client-static-private"]) and r.hs.h == c.hs.h
    out = {"message-1": m1, "message-2": m2, "message-3": m3, "handshake-hash": c.hs.h, "key-up": c.up.k,
           "key-down": c.down.k}
    for way, a, b in (("up", c.up, r.up), ("down", r.down, c.down)):
        for n, plain in enumerate(many(i, way + "-%d-plain")):
            frame = v.frame_encrypt(a, plain)
            assert v.frame_decrypt(b, frame) == plain
            out[f"{way}-{n}-frame-sha256"] = sha256(frame)
    return out


def op_link_read_1(i): v.Relay(i["relay-static-private"], i["relay-id"]).read_1(i["message-1"]); return {}


def op_link_read_2(i):
    c = _client(i)
    c.message_1()
    return {"payload": c.read_2(i["message-2"])}


def op_link_read_3(i):
    r = v.Relay(i["relay-static-private"], i["relay-id"])
    r.read_1(i["message-1"])
    r.message_2(i["relay-ephemeral-private"], i["relay-encaps-randomness"])
    return {"client-static": r.read_3(i["message-3"])}


def op_frame(i):
    c = v.Cipher(i["key"])
    c.n = int(i["counter"])
    return {"plain-sha256": sha256(v.frame_decrypt(c, i["frame"]))}


def op_request(i):
    frames = many(i, "frame-%d")
    h, att = v.read_request(frames)
    assert v.to_frames(h, att, v.REQUEST[h[0]][0]) == frames
    return {"header": encode(h), "attachment-length": len(att), "attachment-sha256": sha256(att)}


def op_request_headers(i):
    read = lambda raw: v.read_request_header(v.u16(len(raw)) + raw)
    for raw in many(i, "good-%d"):
        read(raw)
    return all_refused(many(i, "bad-%d"), read, "bad-cbor")


def op_answer_headers(i):
    read = lambda raw: v.read_answer_header(v.u16(len(raw)) + raw)
    for raw in many(i, "good-%d"):
        read(raw)
    return all_refused(many(i, "bad-%d"), read, "bad-cbor")


def op_answer(i):
    h, att = v.read_answer(int(i["request-kind"]), many(i, "frame-%d"))
    return {"header": encode(h), "attachment-length": len(att), "attachment-sha256": sha256(att)}


def op_get(i): v.get_allowed(i["client-static"], many(i, "roster-link-key-%d")); return {}


def op_held(i):
    h, _ = v.read_answer_header(v.u16(len(i["header"])) + i["header"])
    numbers = v.numbers_of(h[4])
    assert v.set_of(numbers) == h[4]
    return {"numbers": " ".join(map(str, numbers))}


def op_file_keys(i):
    root = v.phrase_root(i["entropy"])
    base = v.Defender(root, i["address"]).R if "address" in i else root
    return {"base": base} | dict(zip(("FK", "write-key", "write-public", "namespace"), v.file_keys(base, i["h"])))


def op_padding(i): return {f"parcels-{n}": v.parcels_of(int(x)) for n, x in enumerate(many(i, "length-%d"))}


def op_parcel_seal(i):
    parcel = v.seal_parcel(i["FK"], int(i["number"]), int(i["count"]), i["plain"])
    return {"chunk-0-nonce": parcel[:12], "chunk-0-tag": parcel[v.CHUNK - 16:v.CHUNK], "parcel-sha256": sha256(parcel)}


def parcel_of(i):
    """The parcel that a `parcel-open` is about: sealed, then altered."""
    parcel = v.seal_parcel(i.get("sealed-FK", i["FK"]), int(i.get("sealed-number", i["number"])),
                           int(i.get("sealed-count", i["count"])), i["plain"],
                           {int(i["nonce-of"]): i["nonce"]} if "nonce" in i else {})
    parcel = b"".join(parcel[v.CHUNK * int(j):v.CHUNK * (int(j) + 1)] for j in i.get("order", "0 1 2 3").split())
    if "flip" in i:
        at = int(i["flip"])
        parcel = parcel[:at] + bytes([parcel[at] ^ 1]) + parcel[at + 1:]
    size = int(i.get("size", v.PARCEL))
    return parcel[:size].ljust(size, b"\0")


def op_parcel_open(i):
    parcel = parcel_of(i)
    assert sha256(parcel) == i["parcel-sha256"]
    plain = v.open_parcel(i["FK"], int(i["number"]), int(i["count"]), parcel)
    return {"plain-sha256": sha256(plain)}


def op_file(i):
    attachment = v.read_attachment(i["attachment"])
    parcels = v.seal_file(attachment[0], i["plain"])
    assert sha256(*parcels) == i["parcels-sha256"]
    data = v.read_file(attachment, parcels)
    assert v.pad_file(data) == i["plain"]
    return {"length": len(data), "sha256": sha256(data)}


def op_attachment(i):
    a = v.read_attachment(i["attachment"])
    return {"FK": a[0], "namespace": a[1], "length": a[2], "h": a[3]} | ({"name": a[4]} if 4 in a else {}) | {
        "media-type": a[5], "metadata": a[6], "parcels": v.parcels_of(a[2])}


def op_list(i): return {"attachments": len(v.read_list(i["list"]))}


def long_list_of(i):
    """The list that a `long-list` is about: copies of one attachment, their namespaces counted."""
    a, count = v.decode(i["attachment"]), int(i["count"])
    return encode([a | {1: a[1][:28] + v.u32(n)} for n in range(count)])


def op_long_list(i):
    raw = long_list_of(i)
    assert sha256(raw) == i["list-sha256"]
    return {"attachments": len(v.read_list(raw)), "length": len(raw)}


def op_attach(i):
    array, listed, content = v.attach(i["base"], v.decode(i["content"]), [v.read_attachment(a) for a in many(i, "attachment-%d")])
    c = v.check_content(content, None)              # whomever it is for
    assert listed or v.read_list(array) == c[3]
    return {"array-length": len(array), "array-sha256": sha256(array), "form": "list" if listed else "array", "content-length": len(content),
            "content": content}


def op_holders(i):
    return {f"holder-{n}": r for n, r in enumerate(v.holders_after(many(i, "known-%d"), many(i, "repeat-%d")))}


def op_attachments(i):
    for raw in many(i, "good-%d"):
        v.read_attachment(raw)
    return all_refused(many(i, "bad-%d"), v.read_attachment, "bad-cbor")


def op_case_make(i):
    g = lambda what, n, name: i[f"{what}-{n}-{name}"]
    deposits = [{0: a, 1: g("deposit", n, "contact"), 2: g("deposit", n, "withdraw-hash"), 3: g("deposit", n, "envelope")}
                for n, a in enumerate(many(i, "deposit-%d-address"))]
    uploads = [{0: w, 1: int(g("upload", n, "parcels")), 2: int(g("upload", n, "deposit"))}
               for n, w in enumerate(many(i, "upload-%d-write-key"))]
    first, length = v.make_case(deposits, uploads)
    assert v.read_case(first, length)[0] == {0: deposits, 1: uploads}
    return {"first": first, "length": length}


def op_case_read(i):
    case, begins = v.read_case(i["first"], int(i["length"]))
    out = {}
    for n, d in enumerate(case[0]):
        relay, host, port = v.relay_contact_read(d[1])
        out |= {f"deposit-{n}-address": d[0], f"deposit-{n}-relay-id": relay, f"deposit-{n}-host": host, f"deposit-{n}-port": port,
                f"deposit-{n}-withdraw-hash": d[2], f"deposit-{n}-digest": sha256(d[3])}
    for n, (u, at) in enumerate(zip(case[1], begins)):
        out |= {f"upload-{n}-namespace": v.namespace_of(v.x25519_pub(u[0])), f"upload-{n}-parcels": u[1], f"upload-{n}-deposit": u[2],
                f"upload-{n}-begins": at}
    return out


def op_case_headers(i):
    for raw in many(i, "good-%d"):
        v.read_case_header(raw)
    return all_refused(many(i, "bad-%d"), v.read_case_header, "bad-cbor")


def op_write(i): v.write_allowed(v.decode(i["header"]), i["client-static"]); return {}
def op_poll(i): v.poll_allowed(v.decode(i["header"]), i["client-static"], many(i, "roster-link-key-%d")); return {}


def after_failure(op, i):
    """Only a malformed request has outputs: what the relay answers."""
    return {"refusal": 1, "answer-frames": v.refusal_frames(many(i, "frame-%d"))} if op == "request" else {}


HIDDEN = {"link": {"key-up", "key-down"}}     # outputs that a program may be unable to give; the frames depend on them
OPS = {name[3:].replace("_", "-"): f for name, f in list(globals().items()) if name.startswith("op_")}
