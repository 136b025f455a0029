//! Valise.
