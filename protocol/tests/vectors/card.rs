//! Cards and descriptors: spec §5, §6 and what a relay makes of a published card (§7.3).

use minicbor::Encoder;
use valise_protocol::card::{Card, CardError, Device, Known, TooFewFresh, VerifiedCard, merge};
use valise_protocol::cbor;
use valise_protocol::descriptor::SignedDescriptor;
use valise_protocol::envelope::{SealError, seal};
use valise_protocol::hash::sha256;
use valise_protocol::id::{Address, RelayId};
use valise_protocol::key::{DhPublic, DhSecret};
use valise_protocol::prekey::Prekey;
use valise_protocol::time::Timestamp;
use valise_protocol::wire::Refusal;

use super::fault::Fault;
use super::script::Script;
use super::vector::{Values, Vector};

fn now(v: &Vector) -> Timestamp {
    Timestamp::from_seconds(v.inputs.number("now"))
}

pub fn card(v: &Vector) -> Result<Values, Fault> {
    let (address, now) = (Address::from_bytes(v.inputs.array("address")), now(v));
    let card = Card::decode(v.inputs.bytes("card"))?;
    assert_eq!(card.encode(), v.inputs.bytes("card"), "one encoding");
    let verified = card.clone().verify(address, known(v).as_ref(), now)?;
    let mut out = Values::default()
        .with("epoch", verified.epoch())
        .with("devices", verified.roster().devices().len());
    for (at, relay) in verified.relays().enumerate() {
        out = out.with(format!("relay-{at}"), relay.id().as_bytes());
    }
    for (at, relay) in verified.reading_relays().enumerate() {
        out = out.with(format!("reading-relay-{at}"), relay.id().as_bytes());
    }
    let readers = match v.inputs.text("reader") {
        "relay" => {
            merge(address, None, card, now)?;
            return Ok(out);
        }
        "sender" => verified.readers(now)?,
        "sender-goes-on" => match verified.readers(now) {
            Ok(readers) => readers,
            Err(TooFewFresh { .. }) => verified.readers_despite_staleness(now),
        },
        other => panic!("nobody is called {other}"),
    };
    if readers.is_empty() {
        let nobody = seal(
            &[],
            &address,
            &DhSecret::from_bytes(&[1; 32]),
            b"",
            &mut Script::new([]),
        );
        assert_eq!(nobody, Err(SealError::NoReader));
        return Err(SealError::NoReader.into());
    }
    out = out.with("fresh", verified.freshness(now).0);
    for (at, prekey) in in_order(&verified, &readers).enumerate() {
        out = out.with(format!("reader-{at}"), prekey.hash());
    }
    Ok(out)
}

/// The readers in the order of the roster.
fn in_order<'a>(card: &'a VerifiedCard, readers: &'a [Prekey]) -> impl Iterator<Item = &'a Prekey> {
    let prekey = |device: &Device| Some(card.statement(&device.signing)?.prekey());
    let devices = card.roster().devices().iter().filter_map(prekey);
    devices.filter(|prekey| readers.contains(prekey))
}

/// What a reader knows already, as it keeps it.
fn known(v: &Vector) -> Option<Known> {
    let roots = v.inputs.many("known-root-", "");
    if roots.is_empty() && !v.inputs.has("known-epoch") {
        return None;
    }
    let epoch = match v.inputs.has("known-epoch") {
        true => v.inputs.number("known-epoch"),
        false => 0,
    };
    let roster = match v.inputs.has("known-roster") {
        true => sha256(&[v.inputs.bytes("known-roster")]),
        false => [0; 32],
    };
    let mut bytes = Vec::new();
    let mut e = Encoder::new(&mut bytes);
    e.map(3).unwrap().u8(0).unwrap().u64(epoch).unwrap();
    e.u8(1).unwrap().bytes(&roster).unwrap();
    e.u8(2).unwrap().array(roots.len() as u64).unwrap();
    for root in roots {
        e.bytes(root).unwrap();
    }
    Some(cbor::decode(&bytes).unwrap())
}

/// As the relay's service does it: relay/src/service.rs.
pub fn publish(v: &Vector) -> Result<Values, Fault> {
    let now = now(v);
    let refused = |_: CardError| Fault::Refused(Refusal::CardRefused);
    let card = Card::decode(v.inputs.bytes("card")).map_err(refused)?;
    let address = card.address();
    let held = v
        .inputs
        .has("held")
        .then(|| held(v.inputs.bytes("held"), address, now));
    let published = card.clone().verify(address, None, now).map_err(refused)?;
    if !published.has_link_key(&DhPublic::from_bytes(v.inputs.array("client-static"))) {
        return Err(Refusal::NotADevice.into());
    }
    let kept = merge(address, held.as_ref(), card, now).map_err(refused)?;
    Ok(Values::default().with("held-after", kept.card().encode()))
}

/// A card that was valid once.
fn held(bytes: &[u8], address: Address, now: Timestamp) -> VerifiedCard {
    let card = Card::decode(bytes).unwrap();
    match card.clone().verify(address, None, now) {
        Err(CardError::Expired { since }) => card.verify(address, None, since.minus(1)).unwrap(),
        verified => verified.unwrap(),
    }
}

pub fn descriptor(v: &Vector) -> Result<Values, Fault> {
    let relay = RelayId::from_bytes(v.inputs.array("relay-id"));
    let signed = SignedDescriptor::decode(v.inputs.bytes("descriptor"))?;
    let descriptor = signed.verify(relay, now(v))?;
    Ok(Values::default()
        .with("static-key", descriptor.static_key().as_bytes())
        .with("tls-pin", descriptor.tls_pin())
        .with("host", descriptor.host())
        .with("port", u64::from(descriptor.port())))
}
