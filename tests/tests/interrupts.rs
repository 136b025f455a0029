//! Ctrl-C and SIGTERM: the relay is told that the connection ends, the vault is whole, and the person knows what may have happened.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::watch;
use valise_protocol::link::Welcome;
use valise_protocol::wire::{Answer, Item, Request, RequestKind};
use valise_tests::card::card;
use valise_tests::liar::{Liar, Manners, Reaction};
use valise_tests::stage::{FORM, Stage};
use valise_tests::terminal::{Dialogue, words};

/// How long a relay that was told may take to let go of a connection; one that was not takes two minutes.
const SOON: Duration = Duration::from_secs(2);
/// How long a program may take to come to what is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

fn stage() -> Stage {
    Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")))
}

/// Waits until the relay of the stage has no connection, or some; it says no more than that.
fn connected(stage: &Stage, count: &str, within: Duration) {
    let began = Instant::now();
    loop {
        let status = stage.operator().args(["status", "--dir", "relay"]).run();
        let status = status.succeeded().stdout;
        if status.contains(&format!("connections: {count}\n")) {
            return;
        }
        assert!(began.elapsed() < within, "{status}");
    }
}

#[test]
fn a_watch_that_is_stopped_ends_its_connection_and_leaves_the_vault_whole() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let officer = || stage.officer("officer");
    for signal in [Signal::INT, Signal::TERM] {
        connected(&stage, "0", SOON);
        let mut watch = officer().args(["inbox", "pull", "--watch"]).start();
        watch.wait_for("no new submissions").unwrap();
        connected(&stage, "fewer than 10", PATIENCE);
        stage.send(&contact, "Four men took her.").succeeded();
        watch.wait_for("a new submission came").unwrap();
        watch.signal(signal);
        let (status, said) = watch.end();
        assert!(status.success(), "{said}");
        assert!(
            said.contains("valise: stopped; what came is in the vault"),
            "{said}"
        );
        connected(&stage, "0", SOON);
    }
    let list = officer().args(["inbox", "list"]).run().succeeded().stdout;
    assert_eq!(list.matches("Four men took her.").count(), 2, "{list}");
    let pull = officer().args(["inbox", "pull"]).run().succeeded().stdout;
    assert!(pull.starts_with("no new submissions"), "{pull}");
}

/// A relay that answers nothing to requests of one kind, and says when it got one.
struct Silent {
    liar: Liar,
    contact: String,
    asked: watch::Receiver<bool>,
}

impl Silent {
    async fn about(kind: RequestKind) -> Self {
        let now = valise_client::command::now();
        let held = Arc::new(OnceLock::new());
        let shown = Arc::clone(&held);
        let (got, asked) = watch::channel(false);
        let react = move |request: &Request| {
            if request.kind() == kind {
                got.send_replace(true);
                return Reaction::Waiting;
            }
            let item = Item {
                waiting: 0,
                cursor: 0,
                envelope: None,
            };
            match request {
                Request::Card { .. } => {
                    let card: &Vec<u8> = shown.get().unwrap();
                    Reaction::Answer(Answer::Card(card.clone()))
                }
                Request::Poll { .. } => Reaction::Answer(Answer::Item(item)),
                _ => Reaction::Silence,
            }
        };
        let manners = Manners {
            welcome: Welcome { effort: 0 },
            react: Arc::new(react),
        };
        let liar = Liar::start_at(manners, now);
        let card = card(now, liar.descriptor(now).await);
        held.set(card.encode()).unwrap();
        let contact = format!("{}@{}", card.address(), liar.contact());
        Self {
            liar,
            contact,
            asked,
        }
    }

    /// Presses Ctrl-C as soon as the relay is asked; gives what is shown then.
    async fn interrupt(mut self, mut dialogue: Dialogue) -> String {
        let asked = tokio::time::timeout(PATIENCE, self.asked.wait_for(|asked| *asked));
        asked.await.unwrap().unwrap();
        self.liar.connected(1, SOON).await;
        dialogue.interrupt();
        let (status, seen) = dialogue.end();
        assert_eq!(status, 1);
        self.liar.connected(0, SOON).await;
        seen
    }
}

/// A send whose words were given back.
fn send(stage: &Stage, contact: &str) -> Dialogue {
    stage.write("form.toml", FORM);
    stage.write("case.txt", "Four men took her from her home.");
    let args = ["send", "--to", contact, "--form", "form.toml", "case.txt"];
    let mut dialogue = Dialogue::start(stage, stage.defender().args(args));
    let words = words(&dialogue.see("Press Enter when you have them."));
    dialogue.answer("");
    for _ in 0..2 {
        dialogue.see("Word ");
        let place: usize = dialogue.see(":").parse().unwrap();
        dialogue.answer(&words[place - 1]);
    }
    dialogue
}

fn check(stage: &Stage, contact: &str) -> Dialogue {
    let phrase = valise_protocol::phrase::ReturnPhrase::from_entropy(&[7; 16]);
    let check = stage.defender().args(["check", "--to", contact]);
    let check = check.secret("--phrase-fd", &phrase.expose_words().join(" "));
    Dialogue::start(stage, check)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_interrupted_after_the_deposit_left_says_that_it_may_have_been_sent() {
    let (stage, relay) = (stage(), Silent::about(RequestKind::Deposit).await);
    let send = send(&stage, &relay.contact);
    let seen = relay.interrupt(send).await;
    assert!(
        seen.contains("valise: error: interrupted: the submission may have been sent"),
        "{seen}"
    );
    assert!(seen.contains("with --again and the same"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_interrupted_before_the_deposit_left_says_that_it_was_not_sent() {
    let (stage, relay) = (stage(), Silent::about(RequestKind::Card).await);
    let send = send(&stage, &relay.contact);
    let seen = relay.interrupt(send).await;
    assert!(
        seen.contains("valise: error: interrupted before the submission was sent"),
        "{seen}"
    );
    assert!(seen.contains("the same command again is safe"), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_interrupted_says_that_nothing_was_deleted() {
    let (stage, relay) = (stage(), Silent::about(RequestKind::Poll).await);
    let check = check(&stage, &relay.contact);
    let seen = relay.interrupt(check).await;
    assert!(seen.contains("valise: error: interrupted"), "{seen}");
    assert!(seen.contains("nothing was deleted"), "{seen}");
}

#[test]
fn an_answer_interrupted_while_it_waits_is_sent_once_by_the_next_pull() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let sent = stage.send(&contact, "Four men took her.").succeeded();
    let officer = || stage.officer("officer");
    officer().args(["inbox", "pull"]).run().succeeded();
    let list = officer().args(["inbox", "list"]).run().succeeded().stdout;
    let id = list.split_whitespace().next().unwrap();
    stage.write("reply.txt", "We will look into it.");
    let reply = ["inbox", "reply", id, "reply.txt", "--delay", "1000000000"];
    let mut dialogue = Dialogue::start(&stage, officer().args(reply));
    dialogue.see("before the next envelope leaves");
    dialogue.interrupt();
    dialogue.see("valise: error: interrupted");
    dialogue.see("do not write it again");
    assert_eq!(dialogue.end().0, 1);

    for _ in 0..2 {
        let pull = officer().args(["inbox", "pull", "--delay", "0"]);
        pull.run().succeeded();
    }
    let checked = stage.check(&contact, &sent.received.unwrap()).succeeded();
    let answers = checked.stdout.matches("We will look into it.").count();
    assert_eq!(answers, 1, "{}", checked.stdout);
}

#[test]
fn an_interrupt_at_a_question_ends_the_program_at_once_with_the_terminal_as_it_was() {
    let stage = stage();
    let relay = stage.init_relay();
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &relay);
    let request = ["mechanism", "device", "request", "--to", &contact];
    let request = stage.officer("other").args(request).args(["-o", "r"]);
    request.run().succeeded();
    for question in ["Are they the same", "Passphrase of the root key:"] {
        let add = ["mechanism", "device", "add", "r", "--root"];
        let add = stage.officer("officer").args(add);
        let mut dialogue = Dialogue::start(&stage, add.args([stage.root_of("officer")]));
        if question.starts_with("Pass") {
            dialogue.asked("Are they the same", "yes");
        }
        dialogue.see(question);
        dialogue.interrupt();
        dialogue.see("valise: error: interrupted");
        let (status, seen) = dialogue.end();
        assert_eq!(status, 1, "{seen}");
    }
    connected(&stage, "0", SOON);
}
