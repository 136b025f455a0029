//! The operator's commands, as the binary that is installed: from `init` to the exit status of `serve`.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use valise_protocol::id::Address;
use valise_relay::config::Config;

/// A directory made by `init`, with a relay on a free port of loopback.
struct Site {
    dir: TempDir,
    contact: String,
}

impl Site {
    fn init() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay");
        let port = free_port().to_string();
        let output = command()
            .args([
                "init",
                path.to_str().unwrap(),
                "--host",
                "127.0.0.1",
                "--port",
                &port,
            ])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--operator", "An NGO", "--jurisdiction", "CH"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Self {
            dir,
            contact: stdout(&output).trim().to_owned(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("relay")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = command();
        command.arg("--dir").arg(self.path()).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn append(&self, line: &str) {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(self.path().join("relay.toml"))
            .unwrap();
        writeln!(file, "{line}").unwrap();
    }

    fn serve(&self) -> Serving {
        let mut child = command()
            .args(["serve", self.path().to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Serving { child, line }
    }
}

/// A serving child, ended with the test.
struct Serving {
    child: Child,
    line: String,
}

impl Serving {
    /// SIGTERM, and the exit status with everything on stderr.
    fn terminate(mut self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        let mut said = String::new();
        let stderr = self.child.stderr.take().unwrap();
        for line in BufReader::new(stderr).lines() {
            said.push_str(&line.unwrap());
            said.push('\n');
        }
        (status.code(), said)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_valise-relay"))
}

fn free_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn address(n: u8) -> String {
    Address::from_bytes([n; 32]).to_string()
}

#[test]
fn init_prints_the_contact_and_leaves_files_for_their_owner_only() {
    let site = Site::init();
    assert!(site.contact.starts_with("relay1"), "{}", site.contact);
    assert!(site.contact.contains(",127.0.0.1:"), "{}", site.contact);
    for entry in std::fs::read_dir(site.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
    }
    let mode = std::fs::metadata(site.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn init_does_not_touch_a_relay_that_is_there() {
    let site = Site::init();
    let before = std::fs::read(site.path().join("identity.key")).unwrap();
    let again = command()
        .args(["init", site.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert!(
        stderr(&again).contains("valise-relay: hint: "),
        "{}",
        stderr(&again)
    );
    assert_eq!(
        std::fs::read(site.path().join("identity.key")).unwrap(),
        before
    );
}

#[test]
fn serve_says_when_it_listens_and_ends_in_order_on_sigterm() {
    let site = Site::init();
    let serving = site.serve();
    assert!(
        serving
            .line
            .starts_with("valise-relay: listening on 127.0.0.1:"),
        "{}",
        serving.line
    );
    assert!(serving.line.contains(&site.contact), "{}", serving.line);
    let (status, said) = serving.terminate();
    assert_eq!(status, Some(0), "{said}");
    assert!(!site.path().join("relay.sock").exists());
    // And again: what was shut down in order opens again.
    assert_eq!(site.serve().terminate().0, Some(0));
}

#[test]
fn inboxes_are_allowed_and_removed_on_a_running_relay_and_without_one() {
    let site = Site::init();
    let allowed = site.run(&["inbox", "allow", &address(1)]);
    assert!(allowed.status.success(), "{}", stderr(&allowed));
    let serving = site.serve();
    let list = || stdout(&site.run(&["inbox", "list"]));
    assert!(list().contains(&address(1)));
    assert!(site.run(&["inbox", "allow", &address(2)]).status.success());
    assert!(list().contains(&address(2)));
    let removed = site.run(&["inbox", "remove", &address(1), "--yes"]);
    assert!(removed.status.success(), "{}", stderr(&removed));
    assert!(
        stdout(&removed).contains("0 envelopes were deleted"),
        "{}",
        stdout(&removed)
    );
    assert!(!list().contains(&address(1)));
    assert_eq!(serving.terminate().0, Some(0));
    assert!(
        list().contains(&address(2)),
        "what was allowed live is there without a relay"
    );
}

#[test]
fn readers_are_allowed_and_removed_on_a_running_relay_and_without_one() {
    let site = Site::init();
    let allowed = site.run(&["reader", "allow", &address(1)]);
    assert!(allowed.status.success(), "{}", stderr(&allowed));
    site.run(&["inbox", "allow", &address(3)]);
    let serving = site.serve();
    let list = |what| stdout(&site.run(&[what, "list"]));
    assert_eq!(list("reader"), format!("{}\n", address(1)));
    assert!(site.run(&["reader", "allow", &address(2)]).status.success());
    assert!(list("reader").contains(&address(2)));
    assert!(!list("inbox").contains(&address(1)));
    assert!(!list("reader").contains(&address(3)));
    let status = stdout(&site.run(&["status"]));
    assert!(status.contains("inboxes served: 1\n"), "{status}");
    assert!(status.contains("readers allowed: 2\n"), "{status}");
    assert!(!status.contains("valise1"), "{status}");
    let removed = site.run(&["reader", "remove", &address(1), "--yes"]);
    assert!(removed.status.success(), "{}", stderr(&removed));
    assert!(!list("reader").contains(&address(1)));
    assert!(site.run(&["inbox", "allow", &address(2)]).status.success());
    assert!(!list("reader").contains(&address(2)));
    assert_eq!(serving.terminate().0, Some(0));
    assert!(list("inbox").contains(&address(2)));
    assert_eq!(list("reader"), "");
}

#[test]
fn a_reader_that_cannot_be_allowed_or_removed_is_told_alike_with_and_without_a_relay() {
    let site = Site::init();
    site.run(&["inbox", "allow", &address(1)]);
    site.run(&["reader", "allow", &address(2)]);
    let (one, two) = (address(1), address(2));
    let ask = || {
        let runs = [
            (["reader", "allow", &one].to_vec(), 1),
            (["reader", "remove", &one, "--yes"].to_vec(), 1),
            (["inbox", "remove", &two, "--yes"].to_vec(), 1),
            (["reader", "remove", &two].to_vec(), 2),
        ];
        runs.map(|(arguments, status)| {
            let output = site.run(&arguments);
            assert_eq!(output.status.code(), Some(status), "{arguments:?}");
            stderr(&output)
        })
    };
    let alone = ask();
    let _serving = site.serve();
    assert_eq!(alone, ask());
    let [served, unknown, _, asked] = alone;
    assert!(served.contains("may read parcels already"), "{served}");
    assert!(
        unknown.contains("hint: list those it has allowed"),
        "{unknown}"
    );
    assert!(asked.contains("hint: say --yes"), "{asked}");
    assert!(stdout(&site.run(&["reader", "list"])).contains(&address(2)));
}

#[test]
fn removing_asks_and_takes_silence_for_no() {
    let site = Site::init();
    site.run(&["inbox", "allow", &address(1)]);
    let asked = site.run(&["inbox", "remove", &address(1)]);
    assert_eq!(asked.status.code(), Some(2), "{}", stderr(&asked));
    assert!(
        stderr(&asked).contains("holds 0 envelopes"),
        "{}",
        stderr(&asked)
    );
    assert!(
        stderr(&asked).contains("hint: say --yes"),
        "{}",
        stderr(&asked)
    );
    assert!(stdout(&site.run(&["inbox", "list"])).contains(&address(1)));
}

#[test]
fn removing_an_inbox_that_is_not_served_fails_alike_with_and_without_a_relay() {
    let site = Site::init();
    let remove = || site.run(&["inbox", "remove", &address(3), "--yes"]);
    let alone = remove();
    let _serving = site.serve();
    let live = remove();
    assert_eq!(alone.status.code(), Some(1));
    assert_eq!(live.status.code(), Some(1));
    assert_eq!(stderr(&alone), stderr(&live));
}

#[test]
fn status_shows_totals_and_no_names() {
    let site = Site::init();
    site.run(&["inbox", "allow", &address(1)]);
    let serving = site.serve();
    let live = stdout(&site.run(&["status"]));
    assert!(
        live.contains("relay: running for less than an hour"),
        "{live}"
    );
    assert!(live.contains("inboxes served: 1"), "{live}");
    assert!(
        !live.contains("valise1") && !live.contains("127.0.0.1"),
        "{live}"
    );
    drop(serving);
    assert!(stdout(&site.run(&["status"])).contains("relay: not running"));
}

#[test]
fn rotation_is_announced_first_and_switched_when_it_is_safe() {
    let site = Site::init();
    let early = site.run(&["rotate", "--switch"]);
    assert_eq!(early.status.code(), Some(1));
    assert!(
        stderr(&early).contains("hint: announce one first"),
        "{}",
        stderr(&early)
    );
    let announced = site.run(&["rotate"]);
    assert!(
        stdout(&announced).contains("switch from "),
        "{}",
        stdout(&announced)
    );
    assert!(!site.run(&["rotate"]).status.success(), "once is enough");
    let early = site.run(&["rotate", "--switch"]);
    assert!(
        stderr(&early).contains("may be good until"),
        "{}",
        stderr(&early)
    );
    assert!(site.run(&["rotate", "--switch", "--now"]).status.success());
    assert!(!site.path().join("next.keys").exists());
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let site = Site::init();
    site.append("inbox_envelope = 5");
    for arguments in [&["serve"][..], &["check"], &["status"]] {
        let output = site.run(arguments);
        assert_eq!(output.status.code(), Some(5), "{arguments:?}");
        assert!(
            stderr(&output).starts_with("valise-relay: error: "),
            "{}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("`inbox_envelope`"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn each_way_to_fail_has_its_exit_status() {
    let site = Site::init();
    assert_eq!(site.run(&["serf"]).status.code(), Some(2));
    let usage = site.run(&["inbox", "allow", "valise1qqqq"]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(
        stderr(&usage).starts_with("valise-relay: error: "),
        "{}",
        stderr(&usage)
    );

    let _serving = site.serve();
    assert_eq!(
        site.run(&["serve"]).status.code(),
        Some(6),
        "the store is locked"
    );

    let taken = Site::init();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let text = std::fs::read_to_string(taken.path().join("relay.toml")).unwrap();
    let listen = format!("listen = \"{}\"", socket.local_addr().unwrap());
    let first = text
        .lines()
        .find(|line| line.starts_with("listen"))
        .unwrap();
    std::fs::write(
        taken.path().join("relay.toml"),
        text.replace(first, &listen),
    )
    .unwrap();
    let output = taken.run(&["serve"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));

    let exposed = Site::init();
    let key = exposed.path().join("identity.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = exposed.run(&["check"]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert!(stderr(&output).contains("chmod 600"), "{}", stderr(&output));
}

#[test]
fn help_documents_every_exit_status() {
    let help = stdout(&command().arg("--help").output().unwrap());
    for status in 0..=6 {
        assert!(help.contains(&format!("\n  {status}  ")), "{help}");
    }
}

#[test]
fn the_manual_has_every_command_key_and_exit_status() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operate.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let sample = Config::default().to_toml();
    for key in sample
        .lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, _)| key)
    {
        if !key.starts_with('#') {
            assert!(manual.contains(&format!("| `{key}` |")), "{key}");
        }
    }
    for command in [
        "init",
        "serve",
        "inbox allow",
        "inbox list",
        "inbox remove",
        "reader allow",
        "reader list",
        "reader remove",
        "status",
        "check",
        "rotate",
    ] {
        assert!(
            manual.contains(&format!("valise-relay {command}")),
            "{command}"
        );
    }
    for status in 0..=6 {
        assert!(manual.contains(&format!("| {status} |")), "{status}");
    }
}

#[test]
fn a_serving_relay_leaves_no_core() {
    let site = Site::init();
    let serving = site.serve();
    let proc = PathBuf::from(format!("/proc/{}", serving.child.id()));
    let limits = std::fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

/// Landlock does not show in /proc, but what it takes for it does.
#[test]
fn a_serving_relay_has_given_up_other_files() {
    let site = Site::init();
    let serving = site.serve();
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.child.id())).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}
