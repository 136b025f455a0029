//! What is refused: here before anything travels, or there by the relay.

use valise_protocol::id::Address;
use valise_protocol::limits::DAY;
use valise_tests::card::card;
use valise_tests::stage::{FORM, Stage, VAULT};
use valise_tests::transcript::Transcript;

use crate::stage;

#[test]
fn what_is_refused_before_anything_travels_is_told_as_written_down() {
    let stage = stage();
    let address = Address::from_bytes([7; 32]).to_string();
    let relay = valise_protocol::id::RelayId::from_bytes([8; 32]).to_string();
    let contact = format!("{address}@{relay},localhost:{}", stage.port());
    let mut transcript = Transcript::new("refused-here", stage.port());
    let form = stage.write("form.toml", FORM);
    let form = form.file_name().unwrap().to_str().unwrap();
    let send = |to: &str| stage.defender().args(["send", "--to", to]);
    let filled = |to: &str| send(to).args(["--form", form]);

    transcript.remark("The addressee.");
    transcript.run(send("bob"));
    transcript.run(send(&contact.replacen("valise1q", "valise1p", 1)));
    transcript.run(send(&contact.replacen("relay1p", "relay1q", 1)));
    transcript.run(send(&address));
    transcript.run(send(&format!("{address}@{relay}")));
    transcript.run(send(&contact.replace('@', " @")));

    let beside = format!("{contact}/{relay},localhost:1");
    let check = stage.defender().args(["check", "--to", &beside]);
    transcript.run(check.secret("--phrase-fd", "abandon"));

    transcript.remark("The text.");
    stage.write("empty.txt", "\n");
    stage.write("long.txt", &"x".repeat(50_001));
    transcript.run(filled(&contact).args(["empty.txt"]));
    transcript.run(filled(&contact).args(["missing.txt"]));
    transcript.run(filled(&contact).args(["long.txt"]));
    transcript.run(filled(&contact).stdin("x".repeat(60_000)));
    transcript.run(filled(&contact).stdin([0xff, 0xfe]));

    transcript.remark("The form.");
    stage.write("case.txt", "what happened\n");
    let broken = [
        ("no-timing", FORM.replace("\"imminent\"", "\"\"")),
        ("soon", FORM.replace("\"imminent\"", "\"soon\"")),
        ("misspelt", FORM.replace("timing", "tming")),
        ("not-toml", "text = <<EOF".into()),
        (
            "public",
            FORM.replace("\"yes\"", "\"no\"")
                .replace("\"ask\"", "\"yes\""),
        ),
        ("language", FORM.replace("\"en\"", "\"English, I think\"")),
        ("twice", format!("text = \"what happened\"\n{FORM}")),
    ];
    for (name, text) in &broken {
        let file = format!("{name}.toml");
        stage.write(&file, text);
        transcript.run(send(&contact).args(["--form", &file, "case.txt"]));
    }
    transcript.run(send(&contact).args(["--form", "missing.toml", "case.txt"]));

    transcript.remark("The return phrase.");
    let check = |phrase: &str| {
        let check = stage.defender().args(["check", "--to", &contact]);
        check.secret("--phrase-fd", phrase)
    };
    transcript.run(check(
        "abandon ability able about above absent absorb abstrakt absurd abuse access accident",
    ));
    transcript.run(check("abandon ability able"));
    transcript.run(check(&["abandon"; 12].join(" ")));
    transcript.run(
        stage
            .defender()
            .args(["check", "--to", &contact, "--phrase-fd", "99"]),
    );

    transcript.remark("The command line.");
    transcript.run(stage.defender().args(["sned"]));
    transcript.run(stage.defender().args(["send"]));
    transcript.run(stage.defender().args(["send", "--too", "x"]));
    transcript.run(
        stage
            .defender()
            .args(["send", "--phrase-fd", "three", "--to", "x"]),
    );
    transcript.run(stage.defender());
    transcript.run(stage.operator().args(["inbox", "allow"]));
    transcript.run(stage.operator().args(["inbox", "allow", "bob"]));
    transcript.run(stage.operator().args(["sevre"]));
    transcript.hold();
}

#[test]
fn a_card_that_cannot_be_used_is_told_as_written_down() {
    let stage = stage();
    let mut transcript = Transcript::new("cards", stage.port());
    let old = card(
        valise_client::command::now().minus(100 * DAY),
        b"no descriptor".to_vec(),
    );
    std::fs::write(stage.path().join("old.card"), old.encode()).unwrap();
    let show = |card: &str| stage.defender().args(["card", "show", card]);
    transcript.run(show("old.card"));
    transcript.run(stage.defender().args(["send", "--to", "old.card"]));
    stage.write("garbage.card", "not a card");
    transcript.run(show("garbage.card"));
    stage.write("large.card", &"x".repeat(40_000));
    transcript.run(show("large.card"));
    transcript.run(show("missing.card"));
    let mut altered = std::fs::read(stage.path().join("old.card")).unwrap();
    altered[100] ^= 1;
    std::fs::write(stage.path().join("altered.card"), altered).unwrap();
    transcript.run(show("altered.card"));
    transcript.hold();
}

/// The relay's settings with one of them changed.
fn set(stage: &Stage, key: &str, value: u64) {
    let path = stage.home("relay").join("relay.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    let changed: Vec<String> = settings
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some((name, _)) if name == key => format!("{key} = {value}"),
            _ => line.to_owned(),
        })
        .collect();
    assert_ne!(settings.trim(), changed.join("\n").trim(), "{key} is there");
    std::fs::write(&path, changed.join("\n")).unwrap();
}

#[test]
fn a_full_mailbox_a_full_relay_and_an_unknown_inbox_are_told_as_written_down() {
    let stage = stage();
    let relay = stage.init_relay();
    set(&stage, "inbox_envelopes", 2);
    set(&stage, "store_envelopes", 10);
    let serving = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let form = stage.write("form.toml", FORM);
    let form = form.file_name().unwrap().to_str().unwrap();
    let send = |text: &str| {
        let send = stage
            .defender()
            .args(["send", "--to", &contact, "--form", form]);
        send.stdin(text)
    };
    let mut transcript = Transcript::new("refused-there", stage.port());
    for text in ["one", "two"] {
        send(text).receiving("--phrase-fd").run().succeeded();
    }
    transcript.remark("A full mailbox.");
    let full = |transcript: &mut Transcript| {
        let said = send("three").receiving("--phrase-fd").run().failed();
        transcript.take(&send("").as_typed(), &said.stderr);
        transcript.remark("(it failed)");
    };
    full(&mut transcript);
    serving.stop();

    set(&stage, "inbox_envelopes", 100);
    let serving = stage.serve();
    for text in ["3", "4", "5", "6", "7", "8", "9", "10"] {
        send(text).receiving("--phrase-fd").run();
    }
    transcript.remark("A full relay.");
    full(&mut transcript);

    transcript.remark("An inbox that is not served.");
    let address = contact.split('@').next().unwrap();
    let remove = ["inbox", "remove", "--dir", "relay", address, "--yes"];
    stage.operator().args(remove).run().succeeded();
    full(&mut transcript);
    let pull = || {
        let officer = stage.defender().home(&stage.home("officer"));
        officer
            .args(["inbox", "pull"])
            .secret("--passphrase-fd", VAULT)
    };
    transcript.run(pull());
    serving.stop();
    transcript.hold();
}
