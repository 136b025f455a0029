//! Passphrases: asked on the terminal, or handed over by a program on a descriptor. Never an argument.

use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};
use crate::ui::{self, Terminal};

/// The fewest characters that a new passphrase may have.
const SHORTEST: usize = 10;

/// A passphrase that exists. `what` completes "passphrase of …".
///
/// # Errors
/// A failure when there is neither a descriptor nor a terminal.
pub fn existing(fd: Option<u32>, what: &str) -> Outcome<Zeroizing<String>> {
    match fd {
        Some(fd) => ui::secret_from_fd(fd, &format!("passphrase of {what}")),
        None => terminal()?.ask_hidden(&format!("Passphrase of {what}:")),
    }
}

/// A new passphrase, asked twice.
///
/// # Errors
/// A failure when it is too short, the two differ, or there is nobody to ask.
pub fn new(fd: Option<u32>, what: &str) -> Outcome<Zeroizing<String>> {
    let Some(fd) = fd else {
        return ask_new(&mut terminal()?, what);
    };
    let passphrase = ui::secret_from_fd(fd, &format!("new passphrase of {what}"))?;
    check(&passphrase)?;
    Ok(passphrase)
}

fn ask_new(terminal: &mut Terminal, what: &str) -> Outcome<Zeroizing<String>> {
    terminal.show(&ui::wrap(
        &format!(
            "Choose a passphrase for {what}: six words drawn by chance are good. Nobody can recover it for you."
        ),
        "",
    ))?;
    loop {
        let first = terminal.ask_hidden(&format!("New passphrase of {what}:"))?;
        if let Err(failure) = check(&first) {
            terminal.show(failure.what())?;
            continue;
        }
        if *first == *terminal.ask_hidden("The same again:")? {
            return Ok(first);
        }
        terminal.show("The two differ. Once more.")?;
    }
}

fn check(passphrase: &str) -> Outcome<()> {
    if passphrase.chars().count() < SHORTEST {
        return Err(
            Failure::new(format!("a passphrase has at least {SHORTEST} characters"))
                .hint("take six words drawn by chance"),
        );
    }
    Ok(())
}

fn terminal() -> Outcome<Terminal> {
    Terminal::open().map_err(|failure| {
        failure.hint("a program hands a passphrase over with --passphrase-fd N, as in: --passphrase-fd 3 3< FILE")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_passphrase_is_refused() {
        assert!(check("123456789").is_err());
        assert!(check("ünïcödé-10").is_ok());
    }
}
