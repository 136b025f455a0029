//! A person at a terminal: a program on a pseudo-terminal of its own, what it shows and what is typed.

use std::process::Command;
use std::time::{Duration, Instant};

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use rustix::termios::{LocalModes, tcgetattr};

use crate::program::{Invocation, Program};
use crate::stage::Stage;

/// How long a program may take to show what is waited for, in milliseconds: a key derivation in a debug build on a busy machine.
const PATIENCE: u64 = 30_000;

/// What lies between the terminal and the program.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The terminal's kind, `TERM`; "dumb" if not given.
    pub kind: Option<&'static str>,
    /// A command that starts the program, such as a tracer, in the words of a shell.
    pub through: String,
    /// Where standard streams go instead of to the terminal, in the words of a shell.
    pub redirections: String,
}

/// A program on a pseudo-terminal.
pub struct Dialogue {
    session: PtySession,
    pid: u32,
    seen: String,
}

impl Dialogue {
    /// Starts it with all three streams on the terminal.
    pub fn start(stage: &Stage, invocation: Invocation) -> Self {
        Self::start_in(stage, invocation, &Setting::default())
    }

    /// Starts it in a setting.
    ///
    /// # Panics
    /// When the system has no pseudo-terminals or processes left.
    pub fn start_in(stage: &Stage, invocation: Invocation, setting: &Setting) -> Self {
        let program = stage.named(Program::Valise);
        let (given, keep, _received) = invocation.command();
        // The library turns the terminal's echo off, and a person's terminal has it on.
        let script = format!(
            "stty echo && echo $$ && exec {} \"$@\" {}",
            setting.through, setting.redirections
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(program);
        command.args(given.get_args());
        if let Some(directory) = given.get_current_dir() {
            command.current_dir(directory);
        }
        for (name, value) in given.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("TERM", setting.kind.unwrap_or("dumb"));
        let mut session = spawn_command(command, Some(PATIENCE)).expect("there are terminals");
        drop(keep);
        let pid = session.read_line().expect("the shell starts");
        Self {
            session,
            pid: pid.parse().expect("the shell knows its number"),
            seen: String::new(),
        }
    }

    /// Waits until this is shown; gives what was shown before it, as text.
    ///
    /// # Panics
    /// When it is not shown in time, or the program ends before.
    pub fn see(&mut self, text: &str) -> String {
        match self.session.exp_string(text) {
            Ok(before) => {
                let before = decoded(&before);
                self.seen.push_str(&before);
                self.seen.push_str(text);
                before
            }
            Err(error) => panic!("waited for {text:?}, saw:\n{}\nand: {error}", self.seen),
        }
    }

    /// Types a line.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn answer(&mut self, line: &str) {
        self.session.send_line(line).expect("the terminal is there");
    }

    /// Types without Enter.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn type_in(&mut self, text: &str) {
        self.session.send(text).expect("the terminal is there");
        self.session.flush().expect("the terminal is there");
    }

    /// Waits for a question and types the answer.
    pub fn asked(&mut self, question: &str, answer: &str) {
        self.see(question);
        self.answer(answer);
    }

    /// Waits for a question, and until nothing that is typed would be shown, and types the answer.
    ///
    /// # Panics
    /// When the terminal goes on showing what is typed.
    pub fn asked_hidden(&mut self, question: &str, answer: &str) {
        self.see(question);
        let began = Instant::now();
        while self.echoes() {
            assert!(
                began.elapsed() < Duration::from_millis(PATIENCE),
                "what is typed after {question:?} would be shown"
            );
            std::thread::yield_now();
        }
        self.answer(answer);
    }

    /// Whether the terminal shows what is typed.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn echoes(&self) -> bool {
        let terminal = self.session.process().get_file_handle();
        let settings = tcgetattr(terminal.expect("the terminal is there"));
        settings
            .expect("it is a terminal")
            .local_modes
            .contains(LocalModes::ECHO)
    }

    /// Ends the input, as Ctrl-D does.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn end_input(&mut self) {
        self.session
            .send_control('d')
            .expect("the terminal is there");
    }

    /// Presses Ctrl-C.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn interrupt(&mut self) {
        self.session
            .send_control('c')
            .expect("the terminal is there");
    }

    /// The program's process id.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the program's end; gives its exit status and everything that was ever on the screen.
    ///
    /// # Panics
    /// When it does not end in time, or by a signal.
    pub fn end(mut self) -> (i32, String) {
        match self.session.exp_eof() {
            Ok(rest) => self.seen.push_str(&decoded(&rest)),
            Err(error) => panic!("waited for the end, saw:\n{}\nand: {error}", self.seen),
        }
        match self.session.process().wait() {
            Ok(WaitStatus::Exited(_, status)) => (status, self.seen.replace('\r', "")),
            other => panic!("it ended as {other:?}:\n{}", self.seen),
        }
    }
}

/// What stays of everything that was shown: without what was on screens of its own.
pub fn staying(seen: &str) -> String {
    let mut parts = seen.split("\u{1b}[?1049h");
    let mut stays = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, after) = part.split_once("\u{1b}[?1049l").unwrap_or_default();
        stays.push_str(after);
    }
    stays
}

/// The library reads every byte as a character of its own.
fn decoded(text: &str) -> String {
    let bytes: Vec<u8> = text.chars().filter_map(|c| u8::try_from(c).ok()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The twelve words of a return phrase in what was shown: numbered lines.
///
/// # Panics
/// When there are no twelve.
pub fn words(shown: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in shown.lines() {
        let line = line.trim();
        if let Some(word) = line.strip_prefix(&format!("{}. ", words.len() + 1)) {
            words.push(word.to_owned());
        }
    }
    assert_eq!(words.len(), 12, "{shown}");
    words
}
