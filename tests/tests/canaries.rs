//! Nothing that identifies or tells lies where it should not: canaries are looked for after a whole journey.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use valise_protocol::contact::Contact;
use valise_protocol::phrase::ReturnPhrase;
use valise_tests::program::{Done, Invocation};
use valise_tests::stage::{FORM, ROOT, Stage, VAULT};

const TEXT: &str = "canary-of-the-text: four men took her from her home";
const NOTE: &str = "canary-of-the-note: ask her sister first";
const REPLY: &str = "canary-of-the-reply: which medication does she need";

/// A thing that must not be found, in one of the forms that it might take.
struct Canary {
    name: String,
    bytes: Vec<u8>,
}

/// What one journey left behind.
struct Journey {
    stage: Stage,
    contact: Contact,
    phrase: String,
    /// Everything that the relay said on standard error, at its most talkative.
    log: Vec<u8>,
    /// The standard errors of everybody else.
    said: Vec<u8>,
}

impl Journey {
    fn make() -> Self {
        let stage = Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")));
        let relay = stage.init_relay();
        let settings = stage.home("relay").join("relay.toml");
        let talkative = fs::read_to_string(&settings)
            .unwrap()
            .replace("log = \"info\"", "log = \"trace\"");
        assert!(talkative.contains("log = \"trace\""));
        fs::write(&settings, talkative).unwrap();
        let log = stage.path().join("log");
        let mut serving = stage.operator().args(["serve", "relay"]).log(&log).start();
        serving.wait_for("listening").unwrap();
        let contact = stage.init_mechanism("officer", &relay);

        let mut said = Vec::new();
        let mut hear = |invocation: Invocation| {
            let done = invocation.run();
            said.extend(done.stderr.as_bytes());
            done
        };
        stage.write("form.toml", &format!("consent_note = \"{NOTE}\"\n{FORM}"));
        let send = || {
            let args = ["send", "--to", &contact, "--form", "form.toml"];
            stage.defender().args(args).stdin(TEXT)
        };
        let sent: Done = hear(send().receiving("--phrase-fd")).succeeded();
        let phrase = sent.received.unwrap();
        hear(send().args(["--again"]).secret("--phrase-fd", &phrase)).succeeded();
        let officer = |args: &[&str]| stage.officer("officer").args(args);
        hear(officer(&["inbox", "pull"])).succeeded();
        let list = hear(officer(&["inbox", "list"])).succeeded().stdout;
        assert!(list.contains(TEXT), "{list}");
        let id = list.split(' ').next().unwrap().to_owned();
        let now = ["--delay", "0"];
        hear(officer(&["inbox", "acknowledge", &id]).args(now)).succeeded();
        hear(officer(&["inbox", "reply", &id]).args(now).stdin(REPLY)).succeeded();
        let check = |phrase: &str| {
            let check = stage.defender().args(["check", "--to", &contact]);
            check.secret("--phrase-fd", phrase)
        };
        let checked = hear(check(&phrase)).succeeded().stdout;
        assert!(checked.contains(REPLY), "{checked}");
        hear(check(&phrase).args(["--delete"])).succeeded();
        // What goes wrong says more than what goes well.
        let wrong = stage.defender().home(&stage.home("officer"));
        hear(
            wrong
                .args(["inbox", "list"])
                .secret("--passphrase-fd", "not the passphrase"),
        )
        .failed();
        hear(
            send()
                .receiving("--phrase-fd")
                .stdin(format!("{TEXT}\u{1}").repeat(2_000)),
        )
        .failed();
        hear(check(&phrase.replacen(' ', "  abandon ", 1))).failed();
        // Mail for the relay's directory, when it is looked at.
        hear(send().receiving("--phrase-fd")).succeeded();
        serving.stop();
        Self {
            contact: contact.parse().unwrap(),
            phrase,
            log: fs::read(log).unwrap(),
            said,
            stage,
        }
    }

    /// What nobody may find anywhere.
    fn secrets(&self) -> Vec<Canary> {
        let first_half: Vec<&str> = self.phrase.split(' ').take(6).collect();
        let texts = [
            ("the text", TEXT),
            ("the note", NOTE),
            ("the reply", REPLY),
            ("the phrase", &self.phrase),
            ("half of the phrase", &first_half.join(" ")),
            ("the vault's passphrase", VAULT),
            ("the root key's passphrase", ROOT),
        ];
        let phrase: ReturnPhrase = self.phrase.parse().unwrap();
        let keys = phrase.stretch().for_mechanism(&self.contact.address());
        let relay = self.contact.ways()[0].relay.id();
        let private = [
            ("send key", *keys.send().expose()),
            ("mailbox key", *keys.mailbox_key(&relay).expose()),
        ];
        let texts = texts
            .into_iter()
            .flat_map(|(name, text)| forms(name, text.as_bytes()));
        let private = private
            .into_iter()
            .flat_map(|(name, key)| forms(name, &key));
        texts.chain(private).collect()
    }

    /// Whom a mailbox belongs to, or the mailbox itself.
    fn identifiers(&self) -> Vec<Canary> {
        let phrase: ReturnPhrase = self.phrase.parse().unwrap();
        let address = self.contact.address();
        let keys = phrase.stretch().for_mechanism(&address);
        let mailbox = keys.mailbox(&self.contact.ways()[0].relay.id());
        let writer = keys.send().public();
        let mut canaries = forms("the return mailbox", mailbox.as_bytes());
        canaries.extend(forms("the sender's key", writer.as_bytes()));
        // The mailbox in the text form of addresses.
        let as_text = valise_protocol::id::Address::from_bytes(*mailbox.as_bytes()).to_string();
        canaries.push(Canary {
            name: "the return mailbox in letters".into(),
            bytes: as_text.into_bytes(),
        });
        canaries
    }

    /// The mechanism's address, which some may know.
    fn address(&self) -> Vec<Canary> {
        let address = self.contact.address();
        let mut canaries = forms("the address", address.as_bytes());
        let text = address.to_string();
        canaries.push(Canary {
            name: "the address in letters".into(),
            bytes: text.as_bytes()[7..].to_vec(),
        });
        canaries
    }
}

/// A thing as it is, and in the ways in which programs write bytes.
fn forms(name: &str, bytes: &[u8]) -> Vec<Canary> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = bytes.iter().take(12).map(u8::to_string).collect();
    let mut forms = vec![
        ("raw", bytes.to_vec()),
        // As much of it as a log might keep.
        ("hex", hex.as_bytes()[..hex.len().min(16)].to_vec()),
        ("HEX", hex[..hex.len().min(16)].to_uppercase().into_bytes()),
        ("a list", list.join(", ").into_bytes()),
    ];
    // Base64 of a part depends on where it begins.
    for begins in 0..3 {
        let text = base64(&bytes[begins..]);
        forms.push(("base64", text.as_bytes()[..text.len().min(20)].to_vec()));
        let url = text.replace('+', "-").replace('/', "_");
        forms.push(("base64url", url.as_bytes()[..url.len().min(20)].to_vec()));
    }
    forms
        .into_iter()
        .map(|(form, bytes)| Canary {
            name: format!("{name}, {form}"),
            bytes,
        })
        .collect()
}

/// Whole groups of three bytes only.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks_exact(3) {
        let number = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for shift in [18, 12, 6, 0] {
            text.push(char::from(LETTERS[(number >> shift) as usize & 63]));
        }
    }
    text
}

/// The names of those canaries that are in some bytes, in the order in which they are given.
fn found<'a>(canaries: &'a [Canary], place: &[u8]) -> Vec<&'a str> {
    const BLOCK: [u8; 4_096] = [0; 4_096];
    // The relay keeps room on its disk by a large file of zeros.
    if place
        .chunks(BLOCK.len())
        .all(|block| *block == BLOCK[..block.len()])
    {
        return Vec::new();
    }
    let mut beginning_with = vec![Vec::new(); 256];
    for (number, canary) in canaries.iter().enumerate() {
        beginning_with[usize::from(canary.bytes[0])].push(number);
    }
    let mut seen = vec![false; canaries.len()];
    for (at, byte) in place.iter().enumerate() {
        for number in &beginning_with[usize::from(*byte)] {
            seen[*number] |= place[at..].starts_with(&canaries[*number].bytes);
        }
    }
    let seen = canaries.iter().zip(seen).filter(|(_, seen)| *seen);
    seen.map(|(canary, _)| canary.name.as_str()).collect()
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.is_file() {
            all.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    all
}

#[test]
fn a_whole_journey_leaves_no_canary_in_logs_errors_the_relay_or_the_vault() {
    let journey = Journey::make();
    let (secrets, identifiers) = (journey.secrets(), journey.identifiers());
    let nothing: [&str; 0] = [];

    // The log was at its most talkative, and the places that are looked at hold something.
    let log = String::from_utf8_lossy(&journey.log).into_owned();
    assert!(log.contains("DEBUG valise_relay"), "{log}");
    assert!(String::from_utf8_lossy(&journey.said).contains("valise: error: "));
    for (place, bytes) in [("the log", &journey.log), ("errors", &journey.said)] {
        assert_eq!(found(&secrets, bytes), nothing, "{place}");
        assert_eq!(found(&identifiers, bytes), nothing, "{place}");
    }
    assert_eq!(found(&journey.address(), &journey.log), nothing, "the log");
    // Neither the client's address nor its port: there is no network address at all.
    assert!(!log.contains("127.0.0.1") && !log.contains("::1"), "{log}");

    let relay = files(&journey.stage.home("relay"));
    let held: usize = relay.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(held > 65_536, "the relay holds mail");
    for (path, bytes) in &relay {
        assert_eq!(found(&secrets, bytes), nothing, "{}", path.display());
        assert_eq!(found(&identifiers, bytes), nothing, "{}", path.display());
    }

    let vault = files(&journey.stage.home("officer"));
    assert!(vault.len() > 5);
    for (path, bytes) in &vault {
        assert_eq!(found(&secrets, bytes), nothing, "{}", path.display());
        assert_eq!(found(&identifiers, bytes), nothing, "{}", path.display());
    }

    // The control: where they must be, they are found.
    let form = fs::read(journey.stage.path().join("form.toml")).unwrap();
    assert_eq!(found(&secrets, &form), ["the note, raw"]);
    let card = fs::read(journey.stage.home("officer").join("card")).unwrap();
    assert_eq!(found(&journey.address(), &card), ["the address, raw"]);
    let list = journey
        .stage
        .operator()
        .args(["inbox", "list", "--dir", "relay"])
        .run();
    let listed = found(&journey.address(), list.succeeded().stdout.as_bytes()).len();
    assert_eq!(listed, 1);
}

#[test]
fn every_form_of_a_canary_is_found() {
    // The control of the forms.
    let bytes: Vec<u8> = (100..132).collect();
    let canaries = forms("x", &bytes);
    let padded = [b"??".as_slice(), &bytes].concat();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(found(&canaries, &padded).contains(&"x, raw"));
    assert!(found(&canaries, hex.as_bytes()).contains(&"x, hex"));
    assert!(found(&canaries, format!("{bytes:?}").as_bytes()).contains(&"x, a list"));
    for lead in 0..3 {
        let text = base64(&[&vec![b'?'; lead], bytes.as_slice()].concat());
        assert!(
            found(&canaries, text.as_bytes()).contains(&"x, base64"),
            "{lead}"
        );
    }
}
