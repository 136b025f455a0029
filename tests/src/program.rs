//! Running `valise` and `valise-relay` as processes of their own.
//!
//! One executable holds both, and behaves as the one by whose name it is called: so a test needs nothing that was not built for it, and
//! runs the same code paths as the two binaries.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

/// Set for nobody: what a person's shell may have set must not change what a test sees.
const UNSET: [&str; 3] = ["VALISE_HOME", "COLUMNS", "LINES"];

/// The program's name as a person types it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The program of defenders and staff.
    Valise,
    /// The relay.
    Relay,
}

impl Program {
    /// As typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valise => "valise",
            Self::Relay => "valise-relay",
        }
    }
}

/// Behaves as the program by whose name this process was started; `None` where it was started under its own.
pub fn as_called() -> Option<ExitCode> {
    let called = PathBuf::from(std::env::args_os().next()?);
    match called.file_name().and_then(OsStr::to_str)? {
        "valise" => Some(valise_client::cli::main()),
        "valise-relay" => Some(valise_relay::cli::main()),
        _ => None,
    }
}

/// A command that is being put together.
pub struct Invocation {
    executable: PathBuf,
    program: Program,
    through: Vec<OsString>,
    typed: Vec<OsString>,
    hidden: Vec<OsString>,
    home: Option<PathBuf>,
    directory: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
    secrets: Vec<(String, String)>,
    receives: Option<String>,
    log: Option<PathBuf>,
    unset: Vec<OsString>,
}

/// What a command did.
pub struct Done {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed as result.
    pub stdout: String,
    /// What it said about it.
    pub stderr: String,
    /// The line that it wrote to the descriptor asked for.
    pub received: Option<String>,
}

impl Done {
    /// The output, after checking that it succeeded.
    ///
    /// # Panics
    /// If it failed, with what it printed.
    pub fn succeeded(self) -> Self {
        assert!(
            self.status.success(),
            "{}\n{}{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// The output, after checking that it failed.
    ///
    /// # Panics
    /// If it succeeded.
    pub fn failed(self) -> Self {
        assert!(
            !self.status.success(),
            "it should have failed:\n{}{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

impl Invocation {
    /// `program`, by the executable that holds both.
    pub fn new(executable: &Path, program: Program) -> Self {
        Self {
            executable: executable.to_owned(),
            program,
            through: Vec::new(),
            typed: Vec::new(),
            hidden: Vec::new(),
            home: None,
            directory: None,
            stdin: None,
            secrets: Vec::new(),
            receives: None,
            log: None,
            unset: UNSET.iter().map(OsString::from).collect(),
        }
    }

    /// With arguments as a person types them.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.typed
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Started by another program, such as a tracer, in these words. `named` is the executable under the program's name.
    #[must_use]
    pub fn through<S: AsRef<OsStr>>(
        mut self,
        named: PathBuf,
        words: impl IntoIterator<Item = S>,
    ) -> Self {
        self.executable = named;
        self.through = words.into_iter().map(|w| w.as_ref().to_owned()).collect();
        self
    }

    /// With arguments that a person would not need, because they would answer at the terminal.
    #[must_use]
    pub fn quietly<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.hidden
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// With a vault in this directory.
    #[must_use]
    pub fn home(mut self, home: &Path) -> Self {
        self.home = Some(home.to_owned());
        self
    }

    /// In this working directory.
    #[must_use]
    pub fn within(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// With this on standard input.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// With a secret on a descriptor, named by this option.
    #[must_use]
    pub fn secret(mut self, option: &str, secret: &str) -> Self {
        self.secrets.push((option.to_owned(), secret.to_owned()));
        self
    }

    /// With a descriptor to write a line to, named by this option.
    #[must_use]
    pub fn receiving(mut self, option: &str) -> Self {
        self.receives = Some(option.to_owned());
        self
    }

    /// Without this variable in its environment.
    #[must_use]
    pub fn without(mut self, variable: &str) -> Self {
        self.unset.push(variable.into());
        self
    }

    /// With standard error in this file, for [`Invocation::start`]: a pipe that nobody reads would stop a program that says much.
    #[must_use]
    pub fn log(mut self, file: &Path) -> Self {
        self.log = Some(file.to_owned());
        self
    }

    /// The command as a person would type it.
    pub fn as_typed(&self) -> String {
        let mut line = self.program.name().to_owned();
        for arg in &self.typed {
            let arg = arg.to_string_lossy();
            let plain = arg
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./:@,=".contains(c));
            line.push(' ');
            line.push_str(&if plain && !arg.is_empty() {
                arg.into_owned()
            } else {
                format!("\"{arg}\"")
            });
        }
        line
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When the system cannot start processes or make pipes.
    pub fn run(self) -> Done {
        let stdin = self.stdin.clone();
        let (mut command, keep, received) = self.command();
        command.stdin(if stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(keep);
        if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
            // A program that refuses early may not read it all.
            let _ = pipe.write_all(&text);
        }
        let output = child.wait_with_output().expect("the program was started");
        Done {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            received: received.map(read_line),
        }
    }

    /// Runs it to its end with both outputs in one pipe, as a person sees them on a terminal.
    ///
    /// # Panics
    /// When the system cannot start processes or make pipes.
    pub fn run_together(self) -> (ExitStatus, String) {
        let stdin = self.stdin.clone().unwrap_or_default();
        let (mut command, keep, _received) = self.command();
        let (mut reader, writer) = std::io::pipe().expect("the system has pipes");
        let other = writer.try_clone().expect("the system has pipes");
        command.stdin(Stdio::piped()).stdout(writer).stderr(other);
        let mut child = command.spawn().expect("the program starts");
        drop((command, keep));
        if let Some(mut pipe) = child.stdin.take() {
            // A program that refuses early may not read it all.
            let _ = pipe.write_all(&stdin);
        }
        let mut said = Vec::new();
        reader.read_to_end(&mut said).expect("the pipe is open");
        let status = child.wait().expect("the program was started");
        (status, String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs it to its end with its results in this file; gives what it said about them.
    ///
    /// # Panics
    /// When the system cannot start processes or make pipes.
    pub fn run_into(self, results: File) -> (ExitStatus, String) {
        let (mut command, keep, _received) = self.command();
        command.stdin(Stdio::null()).stdout(results);
        let child = command.stderr(Stdio::piped()).spawn();
        let child = child.expect("the program starts");
        drop((command, keep));
        let output = child.wait_with_output().expect("the program was started");
        (
            output.status,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// Starts it and leaves it running.
    ///
    /// # Panics
    /// When the system cannot start processes, or make the file of its log.
    pub fn start(self) -> Running {
        let log = self.log.as_ref().map(|path| {
            let file = File::options().create(true).append(true).open(path);
            Stdio::from(file.expect("there is room for a log"))
        });
        let (mut command, keep, _) = self.command();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.unwrap_or_else(Stdio::piped))
            .spawn();
        drop(keep);
        Running(child.expect("the program starts"))
    }

    /// The command, the descriptors to keep until it is started, and the one to read from.
    pub(crate) fn command(self) -> (Command, Vec<OwnedFd>, Option<OwnedFd>) {
        let mut command = match self.through.split_first() {
            Some((first, words)) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.executable);
                command
            }
            None => {
                let mut command = Command::new(&self.executable);
                command.arg0(self.program.name());
                command
            }
        };
        command.args(&self.typed).args(&self.hidden);
        for name in &self.unset {
            command.env_remove(name);
        }
        command.env("TERM", "dumb");
        if let Some(home) = &self.home {
            command.env("VALISE_HOME", home);
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut keep = Vec::new();
        for (option, secret) in &self.secrets {
            let (reader, writer) = pipe();
            File::from(writer)
                .write_all(format!("{secret}\n").as_bytes())
                .expect("a secret fits a pipe");
            inherit(&reader);
            command.arg(option).arg(reader.as_raw_fd().to_string());
            keep.push(reader);
        }
        let received = self.receives.as_ref().map(|option| {
            let (reader, writer) = pipe();
            inherit(&writer);
            command.arg(option).arg(writer.as_raw_fd().to_string());
            keep.push(writer);
            reader
        });
        (command, keep, received)
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("the system has pipes")
}

/// Lets a descriptor through to the next process that is started.
fn inherit(fd: &OwnedFd) {
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).expect("the descriptor is open");
}

fn read_line(fd: OwnedFd) -> String {
    let mut line = String::new();
    // Nothing may have been written if the program failed.
    let _ = BufReader::new(File::from(fd)).read_line(&mut line);
    line.trim_end().to_owned()
}

/// A program that goes on until it is told to stop. Dropping it ends it.
pub struct Running(Child);

impl Running {
    /// Reads its standard output up to the line that contains this text; gives that line, or `None` if it ended before.
    pub fn wait_for(&mut self, text: &str) -> Option<String> {
        let mut lines = BufReader::new(self.0.stdout.as_mut()?).lines();
        lines.find_map(|line| line.ok().filter(|line| line.contains(text)))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Presses Ctrl-C, asks it to stop, or whatever else the signal means.
    pub fn signal(&self, signal: rustix::process::Signal) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal);
    }

    /// Waits for its end; gives its status and what it wrote to standard error, if that is no file.
    ///
    /// # Panics
    /// When the process is not ours any more.
    pub fn end(mut self) -> (ExitStatus, String) {
        let status = self.0.wait().expect("it was started by us");
        let mut said = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let _ = stderr.read_to_string(&mut said);
        }
        (status, said)
    }

    /// Asks it to stop and waits for its end; gives its status and what it wrote to standard error.
    ///
    /// # Panics
    /// When the process is not ours any more.
    pub fn stop(self) -> (ExitStatus, String) {
        self.signal(rustix::process::Signal::TERM);
        self.end()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
