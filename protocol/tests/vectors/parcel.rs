//! Parcels, and whole files made of them: spec §9.1 to §9.4.

use valise_protocol::aead;
use valise_protocol::file::FileCheck;
use valise_protocol::hash::{expand, hmac_sha256, sha256};
use valise_protocol::id::Address;
use valise_protocol::limits::{CHUNK, CHUNK_PLAIN, CHUNKS, PARCEL_PLAIN};
use valise_protocol::parcel::{FileHash, FileKey, ParcelBuffer, ParcelPlace};
use valise_protocol::phrase::ReturnPhrase;

use super::attached;
use super::fault::Fault;
use super::phrase;
use super::vector::{Values, Vector};

/// The base does not show; it is worked out beside the keys.
pub fn file_keys(v: &Vector) -> Result<Values, Fault> {
    let entropy: [u8; 16] = v.inputs.array("entropy");
    let hash = FileHash::from_bytes(v.inputs.array("h"));
    let root = ReturnPhrase::from_entropy(&entropy).stretch();
    let (base, keys) = if v.inputs.has("address") {
        let address = Address::from_bytes(v.inputs.array("address"));
        let (_, r) = phrase::root(&entropy, &address);
        (r, root.for_mechanism(&address).attachment(&hash))
    } else {
        let (root_bytes, _) = phrase::root(&entropy, &Address::from_bytes([0; 32]));
        (root_bytes, root.attachment(&hash))
    };
    Ok(Values::default()
        .with("base", *base)
        .with("FK", keys.file.expose())
        .with("write-key", keys.write.link().expose())
        .with("write-public", keys.write.link().public().as_bytes())
        .with("namespace", keys.write.namespace().as_bytes()))
}

pub fn padding(v: &Vector) -> Result<Values, Fault> {
    let mut out = Values::default();
    for (at, name) in v.inputs.names("length-", "").iter().enumerate() {
        let check = FileCheck::new(v.inputs.number(name), FileHash::from_bytes([0; 32]))?;
        out = out.with(format!("parcels-{at}"), u64::from(check.parcels()));
    }
    Ok(out)
}

fn number(v: &Vector, name: &str) -> u32 {
    u32::try_from(v.inputs.number(name)).unwrap()
}

/// The input of this name, or of another where it is absent.
fn or<'a>(v: &Vector, name: &'a str, otherwise: &'a str) -> &'a str {
    if v.inputs.has(name) { name } else { otherwise }
}

fn filled(plain: &[u8]) -> Result<ParcelBuffer, Fault> {
    if plain.len() != PARCEL_PLAIN {
        return Err(Fault::Size);
    }
    let mut buffer = ParcelBuffer::new();
    for (piece, plain) in buffer.plain_mut().zip(plain.chunks_exact(CHUNK_PLAIN)) {
        piece.copy_from_slice(plain);
    }
    Ok(buffer)
}

fn sealed(v: &Vector, key: &str, index: &str, count: &str) -> Result<ParcelBuffer, Fault> {
    let place = ParcelPlace::new(number(v, index), number(v, count)).unwrap();
    let mut buffer = filled(v.inputs.bytes("plain"))?;
    FileKey::from_bytes(&v.inputs.array(key))
        .cipher()
        .seal(place, &mut buffer);
    Ok(buffer)
}

pub fn seal(v: &Vector) -> Result<Values, Fault> {
    let buffer = sealed(v, "FK", "number", "count")?;
    let bytes = buffer.sealed();
    Ok(Values::default()
        .with("chunk-0-nonce", &bytes[..12])
        .with("chunk-0-tag", &bytes[CHUNK - 16..CHUNK])
        .with("parcel-sha256", sha256(&[bytes])))
}

/// A parcel as it comes about (tests/vectors/README.md), and its opening.
pub fn open(v: &Vector) -> Result<Values, Fault> {
    let buffer = sealed(
        v,
        or(v, "sealed-FK", "FK"),
        or(v, "sealed-number", "number"),
        or(v, "sealed-count", "count"),
    )?;
    let mut bytes = buffer.into_sealed().to_vec();
    if v.inputs.has("nonce") {
        let at = number(v, "nonce-of") as usize;
        let key = FileKey::from_bytes(&v.inputs.array(or(v, "sealed-FK", "FK")));
        let index = number(v, or(v, "sealed-number", "number")) as usize;
        let count = number(v, or(v, "sealed-count", "count")) as usize;
        let plain = &v.inputs.bytes("plain")[at * CHUNK_PLAIN..][..CHUNK_PLAIN];
        let ck = expand(key.expose(), &[b"valise1/chunk"]);
        let nonce: [u8; 12] = v.inputs.array("nonce");
        let mut sealed = plain.to_vec();
        let tag = aead::encrypt(&ck, &nonce, &chunk_ad(index, count, at), &mut sealed);
        bytes[at * CHUNK..][..CHUNK].copy_from_slice(&[&nonce[..], &sealed, &tag].concat());
    }
    if v.inputs.has("order") {
        let chunk = |at: &str| &bytes[CHUNK * at.parse::<usize>().unwrap()..][..CHUNK];
        bytes = v
            .inputs
            .text("order")
            .split(' ')
            .flat_map(chunk)
            .copied()
            .collect();
    }
    if v.inputs.has("flip") {
        bytes[number(v, "flip") as usize] ^= 1;
    }
    if v.inputs.has("size") {
        bytes.resize(number(v, "size") as usize, 0);
    }
    assert_eq!(sha256(&[&bytes]), v.inputs.array("parcel-sha256"));
    let mut parcel = ParcelBuffer::from_sealed(bytes).ok_or(Fault::Size)?;
    let place = ParcelPlace::new(number(v, "number"), number(v, "count")).unwrap();
    FileKey::from_bytes(&v.inputs.array("FK"))
        .cipher()
        .open(place, &mut parcel)?;
    let plain: Vec<&[u8]> = parcel.plain().collect();
    Ok(Values::default().with("plain-sha256", sha256(&plain)))
}

/// What is authenticated with a chunk of a parcel.
fn chunk_ad(index: usize, count: usize, chunk: usize) -> Vec<u8> {
    let number = u32::try_from(CHUNKS * index + chunk).unwrap().to_be_bytes();
    let last = index + 1 == count && chunk + 1 == CHUNKS;
    [&number[..], &[u8::from(last)]].concat()
}

/// Seals a parcel step by step, also as one of so many as no file has.
fn seal_as(key: &FileKey, index: usize, count: usize, plain: &[u8]) -> Vec<u8> {
    let ck = expand(key.expose(), &[b"valise1/chunk"]);
    let nk = expand::<32>(key.expose(), &[b"valise1/chunk-nonce"]);
    let mut out = Vec::new();
    for (at, chunk) in plain.chunks(CHUNK_PLAIN).enumerate() {
        let ad = chunk_ad(index, count, at);
        let hash = hmac_sha256(nk.as_slice(), &[&ad, chunk]);
        let mut sealed = chunk.to_vec();
        let tag = aead::encrypt(&ck, hash.first_chunk().unwrap(), &ad, &mut sealed);
        out.extend([&hash[..12], &sealed, &tag].concat());
    }
    out
}

/// A whole file, from all the parcels that there are. Where their number is wrong, one of them does not open in its place; that the
/// number alone is noticed is shown by what would have been in them.
pub fn file(v: &Vector) -> Result<Values, Fault> {
    let attachment = attached::read(v.inputs.bytes("attachment"))?;
    let plain: Vec<&[u8]> = v.inputs.bytes("plain").chunks(PARCEL_PLAIN).collect();
    let seal = |(at, piece): (usize, &&[u8])| seal_as(&attachment.key, at, plain.len(), piece);
    let parcels: Vec<Vec<u8>> = plain.iter().enumerate().map(seal).collect();
    let bytes: Vec<&[u8]> = parcels.iter().map(Vec::as_slice).collect();
    assert_eq!(sha256(&bytes), v.inputs.array("parcels-sha256"));

    let mut check = FileCheck::new(attachment.length, attachment.hash)?;
    let cipher = attachment.key.cipher();
    let open = |index: usize, sealed: &[u8]| {
        let place = ParcelPlace::new(u32::try_from(index).unwrap(), check.parcels())?;
        let mut parcel = ParcelBuffer::from_sealed(sealed.to_vec()).unwrap();
        Some(cipher.open(place, &mut parcel).map(|()| parcel))
    };
    let opened: Vec<_> = (0..)
        .zip(&bytes)
        .map(|(at, sealed)| open(at, sealed))
        .collect();
    let counted = parcels.len() == check.parcels() as usize;
    if !counted {
        assert!(opened.iter().flatten().any(Result::is_err));
    }
    let mut whole = Vec::new();
    for (opened, plain) in opened.into_iter().zip(plain) {
        let parcel = match opened {
            Some(opened) if counted => opened?,
            _ => filled(plain)?,
        };
        check
            .take(&parcel)?
            .for_each(|piece| whole.extend_from_slice(piece));
    }
    check.finish()?;
    Ok(Values::default()
        .with("length", whole.len())
        .with("sha256", sha256(&[&whole])))
}
