//! A clock that is wrong by ten years, or becomes so while the programs run.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use valise_protocol::contact::RelayContact;
use valise_tests::depositors::{Crowd, Depositor};
use valise_tests::program::{Invocation, Program};
use valise_tests::stage::{FORM, Stage};
use valise_tests::tools::{Monotonic, fake_clock, with_clock_of};

const RIGHT: &str = "+0";
const AHEAD: &str = "+3650d";
const BEHIND: &str = "-3650d";

/// A stage whose programs have a clock that can be moved.
struct Scene {
    stage: Stage,
    contact: RelayContact,
    library: PathBuf,
}

impl Scene {
    /// Nothing where there is no library for it.
    fn new() -> Option<Self> {
        let library = fake_clock()?;
        let stage = Stage::new(Path::new(env!("CARGO_BIN_EXE_valise-tour")));
        let contact = stage.init_relay().parse().unwrap();
        Some(Self {
            stage,
            contact,
            library,
        })
    }

    fn set(&self, clock: &str) {
        // A rename: nobody may read half a date.
        let file = self.stage.write("relay/clock.new", clock);
        std::fs::rename(file, self.clock()).unwrap();
    }

    fn words(&self, monotonic: Monotonic) -> Vec<String> {
        with_clock_of(&self.clock(), &self.library, monotonic)
    }

    /// In the relay's directory: a relay that serves can open no other file.
    fn clock(&self) -> PathBuf {
        self.stage.path().join("relay/clock")
    }

    fn relay(&self, monotonic: Monotonic) -> Invocation {
        self.stage.serve_through(self.words(monotonic))
    }

    fn status(&self) -> String {
        let status = self.stage.operator().args(["status", "--dir", "relay"]);
        status.run().succeeded().stdout
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leap_of_ten_years_while_a_relay_runs_is_said_and_loses_nothing() {
    let Some(scene) = Scene::new() else { return };
    scene.set(RIGHT);
    let relay = scene.stage.listening(scene.relay(Monotonic::Real).start());
    let person = Depositor::new(1);
    let mut linked = person.link(&scene.contact).await.unwrap();
    for (clock, says) in [
        (RIGHT, "clock: steady"),
        (AHEAD, "clock: leapt"),
        (BEHIND, "clock: leapt"),
        (RIGHT, "clock: steady"),
    ] {
        scene.set(clock);
        let status = scene.status();
        assert!(status.contains(says), "{clock}: {status}");
        // On the link from before too: its deadlines go by another clock.
        person.deposit(&mut linked).await.unwrap();
        assert_eq!(person.lost(&scene.contact).await, 0, "{clock}");
    }
    let (status, said) = relay.stop();
    assert!(status.success(), "{said}");
    // What was stored during a leap was not stored under a wrong date either.
    let _relay = scene.stage.serve();
    assert_eq!(person.acknowledged(), 4);
    assert_eq!(person.lost(&scene.contact).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_janitor_that_wakes_ten_years_ahead_expires_nothing() {
    let Some(scene) = Scene::new() else { return };
    scene.set(RIGHT);
    let log = scene.stage.path().join("log");
    // Its hourly timer is moved with the wall clock, or nobody would live to see it.
    let relay = scene.relay(Monotonic::Moved).log(&log).start();
    let relay = scene.stage.listening(relay);
    let crowd = Crowd::new(2);
    crowd.work(&scene.contact).await;
    scene.set(AHEAD);
    let heard = || std::fs::read_to_string(&log).unwrap();
    for look in 0.. {
        // Each look wakes the relay, which then sees which timers are due.
        scene.status();
        if heard().contains("the clock leapt") {
            break;
        }
        assert!(look < 100, "{}", heard());
    }
    relay.stop();
    assert!(!heard().contains("expired"), "{}", heard());
    let _relay = scene.stage.serve();
    assert_eq!(crowd.lost(&scene.contact).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_with_a_wrong_clock_lose_nothing_however_many() {
    let Some(scene) = Scene::new() else { return };
    let crowd = Crowd::new(2);
    let relay = scene.stage.serve();
    crowd.work(&scene.contact).await;
    relay.stop();
    for clock in [AHEAD, AHEAD, "+60d", AHEAD] {
        scene.set(clock);
        let relay = scene.stage.listening(scene.relay(Monotonic::Real).start());
        // It is answered after the janitor has looked once.
        scene.status();
        let (status, said) = relay.stop();
        assert!(status.success(), "{said}");
        assert!(said.contains("nothing expires for a day"), "{said}");
    }
    scene.set(BEHIND);
    let refused = scene.relay(Monotonic::Real).run().failed();
    assert!(
        refused.stderr.contains("hint: set the clock"),
        "{}",
        refused.stderr
    );
    // Put right, it starts as if nothing had been.
    let _relay = scene.stage.serve();
    assert_eq!(crowd.lost(&scene.contact).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_look_sees_mail_expire_when_the_clock_is_believed() {
    // The control.
    let Some(scene) = Scene::new() else { return };
    let crowd = Crowd::new(1);
    let relay = scene.stage.serve();
    crowd.work(&scene.contact).await;
    relay.stop();
    // Within 30 days, and later than some of it may be kept.
    scene.set("+29d");
    let relay = scene.stage.listening(scene.relay(Monotonic::Real).start());
    scene.status();
    let (_, said) = relay.stop();
    assert!(said.contains("expired"), "{said}");
    std::fs::remove_file(scene.stage.home("relay").join("last-seen")).unwrap();
    let _relay = scene.stage.serve();
    assert!(crowd.lost(&scene.contact).await > 0);
}

#[test]
fn a_sender_whose_clock_is_wrong_sends_nothing_and_is_told() {
    let Some(scene) = Scene::new() else { return };
    let stage = &scene.stage;
    let _relay = stage.serve();
    let contact = stage.init_mechanism("officer", &scene.contact.to_string());
    let form = stage.write("form.toml", FORM);
    let phrase = {
        scene.set(RIGHT);
        let done = stage.send(&contact, "the first").succeeded();
        done.received.unwrap()
    };
    let pulled = |new: &str| {
        let pull = stage.officer("officer").args(["inbox", "pull"]);
        let said = pull.run().succeeded().stdout;
        assert!(said.starts_with(new), "{said}");
    };
    pulled("1 new submission");
    let valise = |clock: &str| {
        scene.set(clock);
        let words = scene.words(Monotonic::Real);
        let named = stage.named(Program::Valise);
        stage.defender().through(named, words)
    };
    // At 45 days the relay is believed still, and the card is not any more.
    for clock in [AHEAD, BEHIND, "+45d"] {
        let send = valise(clock).args(["send", "--to", &contact, "--form"]);
        let send = send.args([&form]).receiving("--phrase-fd").stdin("late");
        let said = send.run().failed().stderr;
        assert!(said.contains("valise: hint: "), "{said}");
        let check = valise(clock).args(["check", "--to", &contact]);
        let checked = check.secret("--phrase-fd", &phrase).run();
        if clock != "+45d" {
            let said = checked.failed().stderr;
            assert!(said.contains("date and time"), "{said}");
        }
    }
    pulled("no new submissions");
    // The control: the same words, and the right clock.
    let send = valise(RIGHT).args(["send", "--to", &contact, "--form"]);
    let send = send.args([&form]).receiving("--phrase-fd").stdin("in time");
    send.run().succeeded();
    pulled("1 new submission");
}
