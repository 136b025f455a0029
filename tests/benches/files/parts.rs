//! The parts of the bench.

use std::time::{Duration, Instant};

use valise_protocol::contact::RelayContact;
use valise_tests::slow_link::{Line, SlowLink};

use crate::scene::{Scene, peak};
use crate::{bare, other};

const MEBIBYTE: u64 = 1 << 20;
/// The file of the figures.
const LENGTH: u64 = 1_000_000_000;
/// What it is padded to, in bytes that travel.
const PADDED: u64 = 1_024 * MEBIBYTE;
const ROUNDS: usize = 3;
/// Twelve words that belong together.
const PHRASE: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

/// The whole of `send`, Argon2 and both readings of the file too, against a bare stream of as many bytes.
pub fn upload() {
    let scene = Scene::new(1);
    let file = scene.file("file", LENGTH);
    let padded = scene.file("padded", PADDED);
    let relay = scene.stage.serve();
    let rate = |time: Duration| PADDED as f64 / MEBIBYTE as f64 / time.as_secs_f64();
    let mut ratios = Vec::new();
    println!(
        "{:<8} {:>14} {:>14} {:>8}",
        "round", "bare, MiB/s", "send, MiB/s", "ratio"
    );
    for round in 1..=ROUNDS {
        let bare = bare::stream(&padded, &scene.stage.path().join("there"));
        let began = Instant::now();
        let done = scene
            .send(&scene.contacts, &file)
            .receiving("--phrase-fd")
            .run();
        let send = began.elapsed();
        assert!(done.status.success(), "{}{}", done.stdout, done.stderr);
        let ratio = bare.as_secs_f64() / send.as_secs_f64();
        println!(
            "{round:<8} {:>14.0} {:>14.0} {ratio:>8.2}",
            rate(bare),
            rate(send)
        );
        ratios.push(ratio);
        take_back(&scene, &file, done.received.as_deref().unwrap_or_default());
    }
    relay.stop();
    ratios.sort_by(f64::total_cmp);
    println!("median ratio (holds at 0.60): {:.2}", ratios[ROUNDS / 2]);
}

fn take_back(scene: &Scene, file: &std::path::Path, phrase: &str) {
    let back = scene.send(&scene.contacts, file).args(["--withdraw"]);
    back.secret("--phrase-fd", phrase).run().succeeded();
}

/// The same against `age | curl` to nginx.
pub fn other() {
    if !other::is_here() {
        println!("not done: it needs age, curl and nginx");
        return;
    }
    let scene = Scene::new(1);
    let file = scene.file("file", LENGTH);
    let relay = scene.stage.serve();
    let (_web, port) = other::serve(&scene.stage.path().join("web"));
    let mut ratios = Vec::new();
    println!(
        "{:<8} {:>16} {:>10} {:>8}",
        "round", "age and curl, s", "send, s", "ratio"
    );
    for round in 1..=ROUNDS {
        let web = other::put(&file, port).as_secs_f64();
        let began = Instant::now();
        let done = scene
            .send(&scene.contacts, &file)
            .receiving("--phrase-fd")
            .run()
            .succeeded();
        let send = began.elapsed().as_secs_f64();
        println!("{round:<8} {web:>16.1} {send:>10.1} {:>8.2}", send / web);
        ratios.push(send / web);
        take_back(&scene, &file, done.received.as_deref().unwrap_or_default());
    }
    relay.stop();
    ratios.sort_by(f64::total_cmp);
    println!("median ratio (holds at 1.30): {:.2}", ratios[ROUNDS / 2]);
}

/// `inbox pull` of what `send` brought.
pub fn pull() {
    let scene = Scene::new(1);
    let file = scene.file("file", LENGTH);
    let relay = scene.stage.serve();
    let began = Instant::now();
    scene
        .send(&scene.contacts, &file)
        .receiving("--phrase-fd")
        .run()
        .succeeded();
    let send = began.elapsed();
    let began = Instant::now();
    scene
        .stage
        .officer("office0")
        .args(["inbox", "pull"])
        .run()
        .succeeded();
    let pull = began.elapsed();
    relay.stop();
    let rate = |time: Duration| PADDED as f64 / MEBIBYTE as f64 / time.as_secs_f64();
    println!(
        "send {:.0} MiB/s, pull {:.0} MiB/s (holds at as much)",
        rate(send),
        rate(pull)
    );
}

/// The most memory that client and relay ever have.
pub fn memory() {
    println!("{:<12} {:>12} {:>12}", "file", "send, MB", "relay, MB");
    for (name, length) in [
        ("64 MiB", 64 * MEBIBYTE),
        ("1 GiB", 1_024 * MEBIBYTE - 1_000_000),
        ("4 GiB", 4_293_132_288),
    ] {
        let scene = Scene::new(1);
        let file = scene.file("file", length);
        let relay = scene.stage.serve();
        let send = scene
            .send(&scene.contacts, &file)
            .secret("--phrase-fd", PHRASE)
            .args(["--again"]);
        let mut client = send.start();
        let mut most = 0;
        while client.is_running() {
            most = most.max(peak(&client));
            std::thread::sleep(Duration::from_millis(20));
        }
        let (status, said) = client.end();
        assert!(status.success(), "{said}");
        println!(
            "{name:<12} {:>12.0} {:>12.0}",
            most as f64 / 1e3,
            peak(&relay) as f64 / 1e3
        );
        relay.stop();
    }
}

/// Twenty breaks of an upload of 256 MiB, of the client and of the relay in turn, at random times.
pub fn breaks() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut sent = Vec::new();
    for breaks in [0, 20] {
        let scene = Scene::new(1);
        let file = scene.file("file", 250 * MEBIBYTE);
        let link = runtime.block_on(SlowLink::over(Line::default(), scene.stage.port()));
        let contact = through(&scene.contacts[0], &link);
        let send = || {
            let send = scene.send(std::slice::from_ref(&contact), &file);
            send.args(["--again"]).secret("--phrase-fd", PHRASE).start()
        };
        let mut relay = scene.stage.serve();
        let mut client = send();
        let mut left = breaks;
        // A break for each twentieth of the way, somewhere in it.
        let mut random = 7_u64;
        while left > 0 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let twentieth = 256 * MEBIBYTE / 20;
            let at = (20 - left) * twentieth + (random >> 33) % twentieth;
            let before = link.sent();
            while link.sent() < at && client.is_running() {
                std::thread::sleep(Duration::from_millis(2));
            }
            assert!(
                client.is_running() || link.sent() > before,
                "it ended before its time"
            );
            if left % 2 == 0 {
                client.kill();
                client = send();
            } else {
                relay.kill();
                relay = scene.stage.serve();
            }
            left -= 1;
        }
        let (status, said) = client.end();
        assert!(status.success(), "{said}");
        let pulled = scene
            .stage
            .officer("office0")
            .args(["inbox", "pull"])
            .run()
            .succeeded();
        println!(
            "{breaks} breaks: {:.1} MB sent; {}",
            link.sent() as f64 / 1e6,
            pulled.stdout.trim()
        );
        sent.push(link.sent());
        relay.stop();
    }
    println!(
        "ratio (holds at 1.05): {:.3}",
        sent[1] as f64 / sent[0] as f64
    );
}

/// One mechanism, and three at one relay.
pub fn several() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut sent = Vec::new();
    for mechanisms in [1, 3] {
        let scene = Scene::new(mechanisms);
        let file = scene.file("file", 100 * MEBIBYTE);
        let link = runtime.block_on(SlowLink::over(Line::default(), scene.stage.port()));
        let contacts: Vec<String> = scene.contacts.iter().map(|to| through(to, &link)).collect();
        let relay = scene.stage.serve();
        scene
            .send(&contacts, &file)
            .receiving("--phrase-fd")
            .run()
            .succeeded();
        println!(
            "{mechanisms} mechanisms: {:.1} MB sent",
            link.sent() as f64 / 1e6
        );
        sent.push(link.sent());
        relay.stop();
    }
    println!(
        "ratio (holds at 1.02): {:.3}",
        sent[1] as f64 / sent[0] as f64
    );
}

/// A line of 256 kbit/s with a round trip of 500 ms that loses one packet of twenty.
pub fn slow() {
    let line = Line {
        one_way: Duration::from_millis(250),
        bytes_per_second: Some(32_000),
        one_lost_of: 20,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let scene = Scene::new(1);
    let photo = scene.file("photo", 5_000_000);
    let link = runtime.block_on(SlowLink::over(line, scene.stage.port()));
    let contact = through(&scene.contacts[0], &link);
    let relay = scene.stage.serve();
    let began = Instant::now();
    let text = scene.stage.defender();
    let text = text.args(["send", "--to", &contact, "--form", "form.toml", "case.txt"]);
    text.receiving("--phrase-fd").run().succeeded();
    println!(
        "a text: {:.1} s (holds at 15)",
        began.elapsed().as_secs_f64()
    );
    let before = link.sent();
    let began = Instant::now();
    scene
        .send(&[contact], &photo)
        .receiving("--phrase-fd")
        .run()
        .succeeded();
    let took = began.elapsed().as_secs_f64();
    let padded = 24.0 * 262_144.0;
    println!(
        "a photo of 5 MB: {took:.0} s; padded goodput {:.2} of the line (holds at 0.6); {:.2} bytes sent for each that is padded",
        padded / took / 32_000.0,
        (link.sent() - before) as f64 / padded
    );
    relay.stop();
}

/// The same mechanism at the near end of a path.
fn through(contact: &str, link: &SlowLink) -> String {
    let (address, relay) = contact.split_once('@').unwrap();
    let relay: RelayContact = relay.parse().unwrap();
    format!("{address}@{}", link.contact(&relay))
}
