//! `valise form`: an empty form.

use crate::handling::FORM;
use crate::ui;

/// Prints it.
pub fn run() {
    ui::say(FORM.trim_end());
}
