//! Vectors made by this crate, with randomness of the day: for the other reading to check.

use rand_core::Rng;
use valise_protocol::cbor;
use valise_protocol::contact::{Contact, RelayContact, Way};
use valise_protocol::envelope::seal;
use valise_protocol::id::Namespace;
use valise_protocol::key::{DhPublic, DhSecret};
use valise_protocol::limits::{ENVELOPE, FRAME_PLAIN, PARCEL_PLAIN};
use valise_protocol::message::{Attachment, Metadata};
use valise_protocol::parcel::{FileHash, FileKey};
use valise_protocol::prekey::Prekey;

use super::script::Record;
use super::vector::{Value, Values, Vector};
use super::world::{World, secret};

/// Names and texts of the files.
pub fn all() -> Vec<(String, String)> {
    let rng = &mut Record::default();
    let world = World::new(rng);
    let submission = world.submission(rng);
    let reply = world.reply(rng);
    let copy = world.copy(rng);
    let colleague = world.devices[1].identity.public();
    vec![
        phrase_keys(&world),
        contact(&world),
        card(&world),
        message(
            "submission",
            &world,
            "inbox",
            world.defender.send().public(),
            &submission,
        ),
        message("reply", &world, "return", colleague, &reply),
        message("copy", &world, "inbox", colleague, &copy),
        file_keys(&world),
        parcel_seal(rng),
        attach("array", &world, rng, 3),
        attach("list", &world, rng, 150),
        world.to_devices(&submission),
        world.to_defender(&reply),
        case(&world, rng),
        link(rng),
    ]
}

/// A file with the outputs that the operation gives; `known` are those that it cannot find out by itself.
fn vector(name: &str, op: &str, spec: &str, inputs: Values, known: Values) -> (String, String) {
    let name = format!("made-{name}.txt");
    let asked = Vector {
        name: name.clone(),
        op: op.to_owned(),
        expect: "ok".to_owned(),
        inputs,
        outputs: known,
    };
    let run = super::operation(op).expect("it is one");
    let outputs = run(&asked).expect("what is made here is accepted");
    let text = Vector::write(
        op,
        spec,
        "Made by the other program.",
        &asked.inputs,
        &outputs,
    );
    (name, text)
}

fn phrase_keys(world: &World) -> (String, String) {
    let inputs = Values::default()
        .with("entropy", world.entropy)
        .with("address", world.address.as_bytes())
        .with("relay-id", world.relay.id().as_bytes())
        .with("content", world.content().encode());
    vector(
        "phrase-keys",
        "phrase-keys",
        "§3",
        inputs,
        Values::default(),
    )
}

fn contact(world: &World) -> (String, String) {
    let place = |host| RelayContact::new(world.relay.id(), host, 8_443).unwrap();
    let ways = vec![
        Way {
            relay: world.relay.clone(),
            ingress: Some(place("192.0.2.1")),
        },
        Way {
            relay: place("[2001:db8::1]"),
            ingress: None,
        },
    ];
    let text = Contact::new(world.address, ways).unwrap().to_string();
    let inputs = Values::default().with("text", text);
    vector("contact", "contact", "§2.2", inputs, Values::default())
}

fn card(world: &World) -> (String, String) {
    let inputs = Values::default()
        .with("address", world.address.as_bytes())
        .with("now", world.now.seconds())
        .with("reader", "sender")
        .with("card", world.card.encode());
    vector("card", "card", "§5.3", inputs, Values::default())
}

fn message(
    name: &str,
    world: &World,
    mailbox: &str,
    writer: DhPublic,
    message: &[u8],
) -> (String, String) {
    let mut inputs = Values::default()
        .with("mailbox", mailbox)
        .with("address", world.address.as_bytes())
        .with("writer", writer.as_bytes())
        .with("message", message);
    for (at, device) in world.devices.iter().enumerate() {
        let name = format!("current-identity-{at}");
        inputs = inputs.with(name, device.identity.public().as_bytes());
    }
    let name = format!("message-{name}");
    vector(&name, "message", "§4.5", inputs, Values::default())
}

fn file_keys(world: &World) -> (String, String) {
    let inputs = Values::default()
        .with("entropy", world.entropy)
        .with("address", world.address.as_bytes())
        .with("h", [7; 32]);
    let known = Values::default();
    vector("file-keys", "file-keys", "§3 §9.1", inputs, known)
}

fn parcel_seal(rng: &mut Record) -> (String, String) {
    let mut plain = vec![0; PARCEL_PLAIN];
    rng.fill_bytes(&mut plain);
    let inputs = Values::default()
        .with("FK", rng.draw::<32>())
        .with("number", 23_u64)
        .with("count", 24_u64)
        .with("plain", plain);
    vector(
        "parcel-seal",
        "parcel-seal",
        "§9.2",
        inputs,
        Values::default(),
    )
}

/// So many files, in no order, and one of them twice.
fn attach(name: &str, world: &World, rng: &mut Record, count: usize) -> (String, String) {
    let mut inputs = Values::default()
        .with("base", rng.draw::<32>())
        .with("content", world.content().encode());
    for at in 0..=count {
        let again = inputs
            .many("attachment-", "")
            .first()
            .map(|first| first.to_vec());
        let file = match again {
            Some(again) if at == count => again,
            _ => attachment(rng),
        };
        inputs = inputs.with(format!("attachment-{at}"), file);
    }
    let name = format!("attach-{name}");
    vector(&name, "attach", "§9.1 §9.4", inputs, Values::default())
}

fn attachment(rng: &mut Record) -> Vec<u8> {
    cbor::encode(&Attachment {
        key: FileKey::from_bytes(&rng.draw()),
        namespace: Namespace::from_bytes(rng.draw()),
        length: u64::from(u32::from_be_bytes(rng.draw())) / 2,
        hash: FileHash::from_bytes(rng.draw()),
        name: Some("снимок.jpg".into()),
        media_type: "image/jpeg".into(),
        metadata: Metadata::Stripped,
    })
}

/// Two deposits, and an upload for each.
fn case(world: &World, rng: &mut Record) -> (String, String) {
    let mut inputs = Values::default();
    for at in 0..2_usize {
        let mut envelope = vec![0; ENVELOPE];
        rng.fill_bytes(&mut envelope);
        let deposit = |what: &str| format!("deposit-{at}-{what}");
        let upload = |what: &str| format!("upload-{at}-{what}");
        inputs = inputs
            .with(deposit("address"), world.address.as_bytes())
            .with(deposit("contact"), world.relay.to_string())
            .with(deposit("withdraw-hash"), rng.draw::<32>())
            .with(deposit("envelope"), envelope)
            .with(upload("write-key"), rng.draw::<32>())
            .with(upload("parcels"), 24_u64)
            .with(upload("deposit"), at);
    }
    vector("case", "case-make", "§9.6", inputs, Values::default())
}

/// Both ends with fresh keys, two frames up and two down.
fn link(rng: &mut Record) -> (String, String) {
    let frame = |byte: u8| Value::from(vec![byte; FRAME_PLAIN]);
    let inputs = Values::default()
        .with("relay-static-private", rng.draw::<32>())
        .with("relay-id", rng.draw::<32>())
        .with("client-static-private", rng.draw::<32>())
        .with("client-ephemeral-private", rng.draw::<32>())
        .with("client-kem-seed", rng.draw::<64>())
        .with("relay-ephemeral-private", rng.draw::<32>())
        .with("relay-encaps-randomness", rng.draw::<32>())
        .with("up-0-plain", frame(1))
        .with("up-1-plain", frame(2))
        .with("down-0-plain", frame(3))
        .with("down-1-plain", frame(4));
    vector("link", "link", "§7.1 §7.2", inputs, Values::default())
}

impl World {
    /// A submission, opened by the second device.
    fn to_devices(&self, message: &[u8]) -> (String, String) {
        let readers: Vec<Prekey> = self.prekeys.iter().map(|p| secret(p).public()).collect();
        let writer = self.defender.send();
        self.opened(
            "open-submission",
            &readers,
            &writer,
            message,
            self.prekeys[1],
        )
    }

    /// A reply, opened by the defender.
    fn to_defender(&self, message: &[u8]) -> (String, String) {
        let reply = self.defender.reply();
        let keys = super::phrase::reply_keys(&self.entropy, &self.address);
        let writer = &self.devices[1].identity;
        self.opened("open-reply", &[reply.public()], writer, message, keys)
    }

    fn opened(
        &self,
        name: &str,
        readers: &[Prekey],
        writer: &DhSecret,
        message: &[u8],
        reader: ([u8; 32], [u8; 64]),
    ) -> (String, String) {
        let rng = &mut Record::default();
        let envelope = seal(readers, &self.address, writer, message, rng).unwrap();
        let inputs = Values::default()
            .with("address", self.address.as_bytes())
            .with("prekey-0-x25519-private", reader.0)
            .with("prekey-0-kem-seed", reader.1)
            .with("envelope", envelope.as_slice());
        let known = Values::default().with("K", rng.first());
        vector(name, "open", "§4.1 §4.2 §4.3", inputs, known)
    }
}
