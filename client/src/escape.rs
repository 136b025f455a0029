//! Text from outside, made inert before anybody sees it.
//!
//! A submission, a reply or a card may hold anything: terminal commands, characters that reverse or hide others, lines that
//! imitate this program. Here control and direction characters become visible escapes, and a quoted text carries a mark at the
//! beginning of every line.

use std::fmt::Write;

/// A text for one line: every control character is escaped, line ends too.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut out, character);
    }
    out
}

/// A text of several lines, each behind `  | `: nothing in it can pass for a line of ours.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for part in text.replace("\r\n", "\n").split('\n') {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str("  | ");
        for character in part.chars() {
            if character == '\t' {
                out.push_str("    ")
            } else {
                push(&mut out, character)
            }
        }
    }
    out
}

fn push(out: &mut String, character: char) {
    if is_inert(character) {
        out.push(character);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
    }
}

/// Whether a terminal shows a character as itself and nothing else happens. Joiners stay: several scripts need them.
fn is_inert(character: char) -> bool {
    !(character.is_control()
        || matches!(
            character,
            '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{061c}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_commands_and_reversed_text_are_shown_not_obeyed() {
        assert_eq!(line("a\u{1b}]52;c;x\u{7}b"), "a\\u{1b}]52;c;x\\u{7}b");
        assert_eq!(line("\u{202e}fdp.exe"), "\\u{202e}fdp.exe");
        assert_eq!(line("\u{9b}31m\r\n\0"), "\\u{9b}31m\\u{d}\\u{a}\\u{0}");
    }

    #[test]
    fn scripts_that_need_joiners_keep_them() {
        let text = "می\u{200c}خواهم क\u{200d}ष Ωé";
        assert_eq!(line(text), text);
    }

    #[test]
    fn a_quoted_line_cannot_pass_for_ours() {
        assert_eq!(
            quote("x\nvalise: error: y\tz\r\n\r"),
            "  | x\n  | valise: error: y    z\n  | \\u{d}"
        );
    }
}
