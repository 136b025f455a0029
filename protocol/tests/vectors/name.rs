//! Ids, text forms and words: spec §2 and §5.6.

use valise_protocol::card::{DeviceRequest, RequestError};
use valise_protocol::cbor;
use valise_protocol::contact::{Contact, RelayContact};
use valise_protocol::id::{Address, RelayId};
use valise_protocol::key::DhPublic;
use valise_protocol::words;

use super::fault::{self, Fault};
use super::vector::{Values, Vector};

pub fn ids(v: &Vector) -> Result<Values, Fault> {
    let address = Address::of_root(&v.inputs.array("root-public"));
    let relay = RelayId::of_identity(&v.inputs.array("relay-identity"));
    Ok(Values::default()
        .with("address", address.as_bytes())
        .with("address-text", address.to_string())
        .with("relay-id", relay.as_bytes())
        .with("relay-text", relay.to_string()))
}

pub fn text(v: &Vector) -> Result<Values, Fault> {
    let text = v.inputs.text("text");
    let bytes = match v.inputs.text("prefix") {
        "valise" => text.parse::<Address>()?.as_bytes().to_vec(),
        "relay" => text.parse::<RelayId>()?.as_bytes().to_vec(),
        "valise-device" => cbor::encode(&text.parse::<DeviceRequest>()?),
        other => panic!("nothing begins with {other}"),
    };
    Ok(Values::default().with("bytes", bytes))
}

pub fn contact(v: &Vector) -> Result<Values, Fault> {
    let contact: Contact = v.inputs.text("text").parse()?;
    let mut out = Values::default().with("address", contact.address().as_bytes());
    for (at, way) in contact.ways().iter().enumerate() {
        let relays = [Some(&way.relay), way.ingress.as_ref()];
        for (place, relay) in relays.into_iter().flatten().enumerate() {
            let name = |what: &str| format!("way-{at}-{place}-{what}");
            out = out
                .with(name("relay-id"), relay.id().as_bytes())
                .with(name("host"), relay.host())
                .with(name("port"), u64::from(relay.port()));
        }
    }
    Ok(out)
}

pub fn relay_contacts(v: &Vector) -> Result<Values, Fault> {
    for name in v.inputs.names("good-", "") {
        v.inputs.text(&name).parse::<RelayContact>()?;
    }
    for name in v.inputs.names("bad-", "") {
        let text = v.inputs.text(&name);
        let fault = Fault::from(text.parse::<RelayContact>().expect_err(text));
        assert!(fault::is("bad-contact", &fault), "{text}: {fault:?}");
    }
    Ok(Values::default())
}

pub fn words(v: &Vector) -> Result<Values, Fault> {
    let words = words::comparison_words(v.inputs.bytes("x"));
    Ok(Values::default().with("words", words))
}

pub fn pseudonym(v: &Vector) -> Result<Values, Fault> {
    let send = DhPublic::from_bytes(v.inputs.array("send-public"));
    Ok(Values::default()
        .with("two", words::pseudonym(&send, 2))
        .with("three", words::pseudonym(&send, 3)))
}

/// A request is read from its text only.
pub fn device_request(v: &Vector) -> Result<Values, Fault> {
    let bytes = v.inputs.bytes("request");
    let unread: DeviceRequest = cbor::decode(bytes).map_err(|_| RequestError::Malformed)?;
    let text = unread.to_string();
    let request: DeviceRequest = text.parse()?;
    let device = request.device();
    Ok(Values::default()
        .with("signing-key", device.signing.as_bytes())
        .with("identity-key", device.identity.as_bytes())
        .with("link-key", device.link.as_bytes())
        .with("text", text)
        .with("words", request.words()))
}
