//! A relay, a mechanism and a defender on this machine, each in a directory of its own.

use std::ffi::OsStr;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program::{Done, Invocation, Program, Running};

/// The passphrase of every vault here.
pub const VAULT: &str = "a passphrase for the vault of a test";
/// The passphrase of every root key here.
pub const ROOT: &str = "another one, for the root key";

/// The handling of a case, as a filled form without text.
pub const FORM: &str = r#"
name_to_government = "yes"
name_in_public = "ask"
consent_basis = "family"
timing = "imminent"
attribution = "none"
language = "en"
"#;

/// A temporary directory with everybody's things in it.
pub struct Stage {
    executable: PathBuf,
    directory: TempDir,
    port: u16,
}

impl Stage {
    /// An empty stage, for programs that this executable holds.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    pub fn new(executable: &Path) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("valise-")
            .tempdir()
            .expect("there is room for temporary files");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("the loopback is there");
        let port = socket.local_addr().expect("it is bound").port();
        let executable = std::fs::canonicalize(executable).expect("the executable is there");
        Self {
            executable,
            directory,
            port,
        }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Somebody's own directory within it.
    pub fn home(&self, whose: &str) -> PathBuf {
        self.path().join(whose)
    }

    /// The executable under the name of a program, for those who start it by another program.
    ///
    /// # Panics
    /// When there is no room for it.
    pub fn named(&self, program: Program) -> PathBuf {
        let directory = self.path().join("bin");
        std::fs::create_dir_all(&directory).expect("there is room for temporary files");
        let path = directory.join(program.name());
        if !path.exists() {
            std::os::unix::fs::symlink(&self.executable, &path).expect("there is room for a link");
        }
        path
    }

    /// The relay's port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When there is no room for it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("there is room for temporary files");
        path
    }

    /// The operator's program.
    pub fn operator(&self) -> Invocation {
        Invocation::new(&self.executable, Program::Relay).within(self.path())
    }

    /// The defender's program.
    pub fn defender(&self) -> Invocation {
        Invocation::new(&self.executable, Program::Valise).within(self.path())
    }

    /// An officer's program, with the vault that bears this name.
    pub fn officer(&self, name: &str) -> Invocation {
        self.defender()
            .home(&self.home(name))
            .secret("--passphrase-fd", VAULT)
    }

    /// Makes the relay and gives its contact.
    pub fn init_relay(&self) -> String {
        let port = self.port.to_string();
        let done = self
            .operator()
            .args(["init", "relay", "--host", "127.0.0.1", "--port", &port])
            .run()
            .succeeded();
        last_word(&done, "relay1")
    }

    /// Starts the relay and waits until it listens.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn serve(&self) -> Running {
        let relay = self.operator().args(["serve", "relay"]);
        self.listening(relay.start())
    }

    /// The same relay, started by another program in these words.
    pub fn serve_through<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Invocation {
        let relay = self.operator().args(["serve", "relay"]);
        relay.through(self.named(Program::Relay), words)
    }

    /// Waits until a relay listens.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn listening(&self, mut relay: Running) -> Running {
        if relay.wait_for("listening").is_none() {
            panic!("the relay did not come up: {}", relay.stop().1);
        }
        relay
    }

    /// Makes a mechanism with one device, allowed at the relay and published; gives its contact line.
    pub fn init_mechanism(&self, officer: &str, relay: &str) -> String {
        let init = [
            "mechanism",
            "init",
            "--name",
            "Example Mechanism",
            "--relay",
            relay,
        ];
        let root = self.root_of(officer);
        let done = self
            .officer(officer)
            .args(init)
            .quietly(["--root", &root])
            .secret("--root-passphrase-fd", ROOT)
            .run()
            .succeeded();
        let contact = last_word(&done, "valise1");
        self.allow(&contact);
        self.officer(officer)
            .args(["mechanism", "publish"])
            .run()
            .succeeded();
        contact
    }

    /// Where the root key lies that was made beside this officer's vault.
    pub fn root_of(&self, officer: &str) -> String {
        self.path()
            .join(format!("{officer}-root.key"))
            .to_string_lossy()
            .into_owned()
    }

    /// Has the operator serve this contact's inbox.
    pub fn allow(&self, contact: &str) {
        let address = contact.split('@').next().unwrap_or_default();
        self.operator()
            .args(["inbox", "allow", "--dir", "relay", address])
            .run()
            .succeeded();
    }

    /// Adds a second device to a mechanism by the ceremony between two machines.
    pub fn add_device(&self, first: &str, second: &str, contact: &str) {
        let request = format!("{second}.request");
        self.officer(second)
            .args([
                "mechanism",
                "device",
                "request",
                "--to",
                contact,
                "-o",
                &request,
            ])
            .run()
            .succeeded();
        self.officer(first)
            .args(["mechanism", "device", "add", &request])
            .quietly(["--root", &self.root_of(first), "--yes-the-words-match"])
            .quietly(["--yes-these-devices"])
            .secret("--root-passphrase-fd", ROOT)
            .run()
            .succeeded();
        self.officer(second)
            .args(["inbox", "pull"])
            .run()
            .succeeded();
    }

    /// Sends a text as a defender would; gives the output with the return phrase in it.
    pub fn send(&self, contact: &str, text: &str) -> Done {
        let form = self.write("form.toml", FORM);
        self.defender()
            .args(["send", "--to", contact, "--form"])
            .args([form.as_os_str()])
            .receiving("--phrase-fd")
            .stdin(text)
            .run()
    }

    /// Asks for answers under a return phrase.
    pub fn check(&self, contact: &str, phrase: &str) -> Done {
        self.defender()
            .args(["check", "--to", contact])
            .secret("--phrase-fd", phrase)
            .run()
    }
}

/// The last word of the output that begins with this.
///
/// # Panics
/// When there is none.
pub fn last_word(done: &Done, begins: &str) -> String {
    let mut words = done
        .stdout
        .split_whitespace()
        .filter(|word| word.starts_with(begins));
    words
        .next_back()
        .unwrap_or_else(|| panic!("no {begins}… in: {}{}", done.stdout, done.stderr))
        .to_owned()
}
