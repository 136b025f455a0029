//! What staff and operators are told: of mistakes, and of what changes in the years.

use std::path::Path;

use valise_protocol::id::Address;
use valise_tests::stage::{ROOT, VAULT, last_word};
use valise_tests::transcript::Transcript;

use crate::{init, officer, stage};

#[test]
fn what_staff_and_operators_do_wrong_is_told_as_written_down() {
    let stage = stage();
    let relay = stage.init_relay();
    let _serving = stage.serve();
    let mut transcript = Transcript::new("mistakes", stage.port());
    transcript.remark("A vault that is not there, or there already.");
    transcript.run(officer(&stage).args(["inbox", "list"]));
    let port = stage.port().to_string();
    transcript.run(init(&stage, "relay1x,localhost:1"));
    init(&stage, &relay).run().succeeded();
    transcript.run(init(&stage, &relay));
    transcript.remark("Passphrases.");
    let with = |passphrase: &str| {
        let officer = stage.defender().home(Path::new("desk"));
        officer.secret("--passphrase-fd", passphrase)
    };
    transcript.run(with("another passphrase").args(["inbox", "list"]));
    let change = with(VAULT).args(["vault", "passphrase"]);
    transcript.run(change.secret("--new-passphrase-fd", "short"));
    let renew = || officer(&stage).args(["mechanism", "renew", "--root"]);
    let wrong = renew().args(["desk/root.key"]);
    transcript.run(wrong.secret("--root-passphrase-fd", "another passphrase"));
    transcript.run(
        renew()
            .args(["missing"])
            .secret("--root-passphrase-fd", ROOT),
    );
    transcript.run(
        renew()
            .args(["desk/card"])
            .secret("--root-passphrase-fd", ROOT),
    );
    transcript.remark("An inbox that the relay does not serve yet.");
    transcript.run(officer(&stage).args(["mechanism", "publish"]));
    transcript.run(officer(&stage).args(["inbox", "pull"]));
    transcript.remark("Submissions and devices that are not there.");
    transcript.run(officer(&stage).args(["inbox", "show", "abcd"]));
    transcript.run(officer(&stage).args(["inbox", "reply", "abcd"]).stdin("x"));
    transcript.run(officer(&stage).args([
        "mechanism",
        "device",
        "add",
        "desk/card",
        "--root",
        "desk/root.key",
    ]));
    transcript.run(officer(&stage).args(["vault", "restore", "desk/card"]));
    transcript.remark("The operator.");
    transcript.run(stage.operator().args(["init", "relay", "--port", &port]));
    transcript.run(stage.operator().args(["serve", "relay"]));
    transcript.run(stage.operator().args(["serve", "elsewhere"]));
    let nobody = Address::from_bytes([7; 32]).to_string();
    let remove = ["inbox", "remove", "--dir", "relay", &nobody];
    transcript.run(stage.operator().args(remove));
    transcript.run(
        stage
            .operator()
            .args(["rotate", "--switch", "--dir", "relay"]),
    );
    transcript.run(stage.operator().args(["rotate", "--dir", "relay"]));
    transcript.run(
        stage
            .operator()
            .args(["rotate", "--switch", "--dir", "relay"]),
    );
    transcript.hold();
}

#[test]
fn the_changes_of_a_mechanism_are_as_written_down() {
    let (elsewhere, stage) = (stage(), stage());
    let (relay, new) = (stage.init_relay(), elsewhere.init_relay());
    let (_serving, _new) = (stage.serve(), elsewhere.serve());
    let mut transcript = Transcript::new("changes", stage.port()).with_port(elsewhere.port());
    let said = init(&stage, &relay).run().succeeded();
    let contact = last_word(&said, "valise1");
    stage.allow(&contact);
    elsewhere.allow(&contact);
    let signed = |args: &[&str], root: &str| {
        let signed = officer(&stage).args(["mechanism"]).args(args);
        signed
            .args(["--root", root, "--yes-these-devices"])
            .secret("--root-passphrase-fd", ROOT)
    };
    let publish = || officer(&stage).args(["mechanism", "publish"]);
    transcript.run(publish());

    transcript.remark("Another relay.");
    let own = "desk/root.key";
    let said = transcript.run(signed(&["relay", "add", &new, "--first"], own));
    let both = said
        .split_whitespace()
        .rfind(|word| word.starts_with("valise1"))
        .unwrap();
    transcript.run(signed(&["relay", "add", &new], own));
    transcript.run(officer(&stage).args(["mechanism", "relay", "list"]));
    transcript.run(publish());
    transcript.run(officer(&stage).args(["inbox", "pull"]));
    let phrase = ["abandon"; 12].join(" ");
    let check = |contact: &str| {
        let check = stage.defender().args(["check", "--to", contact]);
        check.secret("--phrase-fd", &phrase)
    };
    transcript.run(check(both));
    transcript.run(signed(&["relay", "remove", "3", "--yes"], own));
    transcript.run(signed(&["relay", "remove", "2", "--yes"], own));
    transcript.run(signed(&["relay", "remove", "1", "--yes"], own));

    transcript.remark("A relay for reading files only.");
    let address = contact.split('@').next().unwrap();
    let operate = |args: &[&str]| {
        let operator = stage.operator().args(args);
        operator.args(["--dir", "relay", address])
    };
    operate(&["inbox", "remove", "--yes"]).run().succeeded();
    transcript.run(operate(&["reader", "allow"]));
    transcript.run(signed(&["relay", "add", &relay, "--reading"], own));
    transcript.run(stage.operator().args(["reader", "list", "--dir", "relay"]));
    transcript.run(officer(&stage).args(["mechanism", "relay", "list"]));
    transcript.run(signed(&["relay", "remove", "2", "--yes"], own));
    transcript.run(operate(&["reader", "remove", "--yes"]));
    transcript.run(operate(&["reader", "remove", "--yes"]));

    transcript.remark("A next root key.");
    let renew = |root: &str, new: &str| {
        let renew = signed(&["root", "renew", "--new", new], root);
        renew.secret("--new-root-passphrase-fd", ROOT)
    };
    transcript.run(renew(own, own));
    transcript.run(renew(own, "second.key"));
    transcript.run(signed(&["renew"], own));
    transcript.run(signed(&["renew"], "second.key"));
    renew("second.key", "third.key").run().succeeded();
    renew("third.key", "fourth.key").run().succeeded();
    transcript.run(renew("fourth.key", "fifth.key"));
    transcript.hold();
}

#[test]
fn a_command_that_fails_leaves_no_connection_behind() {
    let stage = stage();
    let relay = stage.init_relay();
    let _serving = stage.serve();
    init(&stage, &relay).run().succeeded();
    // Its inbox is not allowed.
    officer(&stage).args(["inbox", "pull"]).run().failed();
    let status = stage.operator().args(["status", "--dir", "relay"]).run();
    let status = status.succeeded().stdout;
    assert!(status.contains("connections: 0\n"), "{status}");
}
