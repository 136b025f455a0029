//! The help, the form, and the session of the README.

use valise_tests::stage::FORM;
use valise_tests::transcript::Transcript;

use crate::{init, officer, stage};

#[test]
fn every_help_is_as_written_down() {
    let stage = stage();
    let valise: [&[&str]; 32] = [
        &[],
        &["send"],
        &["seal"],
        &["carry"],
        &["check"],
        &["card"],
        &["card", "show"],
        &["form"],
        &["mechanism"],
        &["mechanism", "init"],
        &["mechanism", "device"],
        &["mechanism", "device", "request"],
        &["mechanism", "device", "add"],
        &["mechanism", "device", "remove"],
        &["mechanism", "device", "list"],
        &["mechanism", "relay"],
        &["mechanism", "relay", "add"],
        &["mechanism", "relay", "remove"],
        &["mechanism", "relay", "list"],
        &["mechanism", "root"],
        &["mechanism", "root", "renew"],
        &["mechanism", "card"],
        &["mechanism", "renew"],
        &["mechanism", "publish"],
        &["inbox"],
        &["inbox", "pull"],
        &["inbox", "fetch"],
        &["inbox", "save"],
        &["inbox", "acknowledge"],
        &["inbox", "reply"],
        &["inbox", "delete"],
        &["vault"],
    ];
    let relay: [&[&str]; 9] = [
        &[],
        &["init"],
        &["serve"],
        &["inbox"],
        &["inbox", "allow"],
        &["inbox", "list"],
        &["inbox", "remove"],
        &["check"],
        &["rotate"],
    ];
    let mut transcript = Transcript::new("help", stage.port());
    for command in valise {
        transcript.run(stage.defender().args(command).args(["--help"]));
    }
    for command in relay {
        transcript.run(stage.operator().args(command).args(["--help"]));
    }
    transcript.hold();
}

#[test]
fn the_session_of_the_readme_is_as_written_down() {
    let stage = stage();
    let port = stage.port().to_string();
    let mut transcript = Transcript::new("session", stage.port());
    transcript.remark("Passphrases and the return phrase are handed over on descriptors.");
    let args = ["init", "relay", "--host", "127.0.0.1", "--port", &port];
    let said = transcript.run(stage.operator().args(args));
    let relay = said.lines().next().unwrap().to_owned();
    let mut serving = stage.operator().args(["serve", "relay"]).start();
    let listening = serving.wait_for("listening").unwrap();
    transcript.take("valise-relay serve relay", &format!("{listening}\n\n"));

    let said = transcript.run(init(&stage, &relay));
    let contact = said
        .lines()
        .find(|line| line.starts_with("valise1"))
        .unwrap();
    let address = contact.split('@').next().unwrap();
    let allow = ["inbox", "allow", "--dir", "relay", address];
    transcript.run(stage.operator().args(allow));
    transcript.run(officer(&stage).args(["mechanism", "publish"]));
    transcript.run(officer(&stage).args(["inbox", "pull"]));

    stage.write("case.txt", "What happened, to whom, where and when.\n");
    stage.write("case.toml", FORM);
    let send = ["send", "--to", contact, "--form", "case.toml", "case.txt"];
    // The phrase goes to a pipe, and the output to another.
    let sent = stage
        .defender()
        .args(send)
        .receiving("--phrase-fd")
        .run()
        .succeeded();
    let phrase = sent.received.clone().unwrap();
    let typed = stage.defender().args(send).as_typed();
    transcript.take(&typed, &format!("{}{}\n", sent.stderr, sent.stdout));
    let again = stage.defender().args(send).args(["--again"]);
    transcript.run(again.secret("--phrase-fd", &phrase));

    transcript.run(officer(&stage).args(["inbox", "pull"]));
    let id = id(&transcript.run(officer(&stage).args(["inbox", "list"])));
    transcript.run(officer(&stage).args(["inbox", "show", &id]));
    let check = || {
        let check = stage.defender().args(["check", "--to", contact]);
        check.secret("--phrase-fd", &phrase)
    };
    transcript.run(check());
    let now = ["--delay", "0"];
    transcript.run(
        officer(&stage)
            .args(["inbox", "acknowledge", &id])
            .args(now),
    );
    transcript.run(check());
    let reply = officer(&stage).args(["inbox", "reply", &id]).args(now);
    transcript.run(reply.stdin("We will look into it.\nWhich medication does she need?\n"));
    transcript.run(officer(&stage).args(["inbox", "list"]));
    transcript.run(officer(&stage).args(["inbox", "show", &id]));
    transcript.run(check().args(["--delete"]));
    transcript.run(check());

    transcript.run(officer(&stage).args(["mechanism", "card", "-o", "example.card"]));
    transcript.run(officer(&stage).args(["mechanism", "device", "list"]));
    transcript.run(stage.defender().args(["card", "show", "example.card"]));
    transcript.run(officer(&stage).args(["inbox", "delete", &id, "--yes"]));
    transcript.run(officer(&stage).args(["vault", "backup", "desk.backup"]));
    transcript.run(stage.operator().args(["inbox", "list", "--dir", "relay"]));
    transcript.run(stage.operator().args(["status", "--dir", "relay"]));
    let remove = ["inbox", "remove", "--dir", "relay", address, "--yes"];
    transcript.run(stage.operator().args(remove));
    transcript.hold();
}

#[test]
fn the_form_is_as_written_down() {
    let stage = stage();
    let mut transcript = Transcript::new("form", stage.port());
    transcript.run(stage.defender().args(["form"]));
    transcript.hold();
}

/// The beginning of the only submission's id.
fn id(list: &str) -> String {
    list.split_whitespace().next().unwrap().to_owned()
}
