//! Text from outside, made inert before anybody sees it.
//!
//! A submission, a reply or a card may hold anything: terminal commands, characters that reverse or hide others, lines that
//! imitate this program. Here control and direction characters become visible escapes, and a quoted text carries a mark at the
//! beginning of every line, also of those that a terminal would begin by itself.

use std::fmt::Write;

/// A text for one line: every control character is escaped, line ends too.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        push(&mut out, character);
    }
    out
}

/// A text of several lines, each behind `  | ` and of at most so many columns: nothing in it can pass for a line of ours.
pub fn quote(text: &str, most: usize) -> String {
    let mut rows = Vec::new();
    for part in text.replace("\r\n", "\n").split('\n') {
        let part = line(&part.replace('\t', "    "));
        rows.extend(fold(&part, most.saturating_sub(MARK.len()).max(1)));
    }
    let mark = |row: &String| format!("{MARK}{}", row.trim_end_matches(' '));
    let marked: Vec<String> = rows.iter().map(mark).collect();
    marked.join("\n")
}

/// How many columns of a terminal a text takes, rather more than fewer: what is not Latin, Greek, Cyrillic or the like counts twice.
pub fn columns(text: &str) -> usize {
    text.chars()
        .map(|character| match character {
            '\u{200c}' | '\u{200d}' => 0,
            character if character < '\u{1100}' => 1,
            _ => 2,
        })
        .sum()
}

/// Breaks a line after spaces, and words that are too long anywhere, into rows of at most so many columns.
pub fn fold(line: &str, most: usize) -> Vec<String> {
    let (mut rows, mut row) = (Vec::new(), String::new());
    for word in line.split_inclusive(' ') {
        if !row.is_empty() && columns(&row) + columns(word.trim_end_matches(' ')) > most {
            rows.push(std::mem::take(&mut row));
        }
        if columns(word.trim_end_matches(' ')) <= most {
            row.push_str(word);
            continue;
        }
        for character in word.chars() {
            let mut wider = row.clone();
            wider.push(character);
            if columns(&wider) > most {
                rows.push(std::mem::take(&mut row));
            }
            row.push(character);
        }
    }
    rows.push(row);
    rows
}

/// What stands before every row of a quoted text.
const MARK: &str = "  | ";
/// The width of a terminal where it does not say, and the most that is used of a wider one.
pub const COLUMNS: usize = 80;

fn push(out: &mut String, character: char) {
    if is_inert(character) {
        out.push(character);
    } else {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
    }
}

/// Whether a terminal shows a character as itself and nothing else happens. Joiners stay: several scripts need them.
pub fn is_inert(character: char) -> bool {
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
            quote("x\nvalise: error: y\tz\r\n\r", COLUMNS),
            "  | x\n  | valise: error: y    z\n  | \\u{d}"
        );
    }

    #[test]
    fn a_quoted_line_cannot_pass_for_ours_by_being_broken_by_the_terminal() {
        for most in [COLUMNS, 40, 20] {
            let before = "x".repeat(most - MARK.len());
            for text in [
                format!("{before}valise: error: all is lost"),
                format!("{} valise: error: all is lost", "x ".repeat(38)),
                format!("{}valise: error: all is lost", "語".repeat(40)),
            ] {
                for row in quote(&text, most).lines() {
                    assert!(row.starts_with(MARK), "{row}");
                    assert!(columns(row) <= most, "{row}");
                }
            }
        }
    }

    #[test]
    fn folding_loses_nothing_but_makes_rows() {
        for text in ["", "a b  c", &"word ".repeat(50), &"x".repeat(200), "a  "] {
            assert_eq!(fold(text, 76).concat(), *text);
        }
        assert_eq!(fold("aa bb cc", 5), ["aa bb ", "cc"]);
    }
}
