//! Which devices of an inbox have removed one envelope (DESIGN "admission").

use valise_protocol::limits::SLOTS;

use super::{DeviceTag, Reader};

/// The devices that have removed an envelope: at most as many as a mechanism may have.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(super) struct Devices(Vec<DeviceTag>);

impl Devices {
    /// From a record; what lies beyond the eighth is left out.
    pub fn of(tags: impl Iterator<Item = DeviceTag>) -> Self {
        Self(tags.take(SLOTS).collect())
    }

    /// In the order of their removals.
    pub fn tags(&self) -> &[DeviceTag] {
        &self.0
    }

    /// Whether the envelope is hidden from this reader.
    pub fn hide_from(&self, reader: Reader<'_>) -> bool {
        match reader {
            Reader::Holder => false,
            Reader::Device { me, .. } => self.0.contains(&me),
        }
    }

    /// Notes a removal. Devices that have left the roster are forgotten, so there is always room.
    /// Returns whether the envelope is now gone for everybody.
    pub fn note(&mut self, reader: Reader<'_>) -> bool {
        match reader {
            Reader::Holder => true,
            Reader::Device { me, roster } => {
                self.0.retain(|tag| roster.contains(tag));
                if !self.0.contains(&me) && self.0.len() < SLOTS {
                    self.0.push(me);
                }
                self.cover(roster)
            }
        }
    }

    /// Whether every device of the roster has removed the envelope. An empty roster has removed nothing.
    pub fn cover(&self, roster: &[DeviceTag]) -> bool {
        !roster.is_empty() && roster.iter().all(|tag| self.0.contains(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_without_devices_has_removed_nothing() {
        assert!(!Devices::default().cover(&[]));
    }

    #[test]
    fn a_device_that_left_the_roster_makes_room() {
        let mut devices = Devices::of((0..8).map(|n| DeviceTag([n; 8])));
        let roster = [DeviceTag([9; 8])];
        let reader = Reader::Device {
            me: roster[0],
            roster: &roster,
        };
        assert!(devices.note(reader));
        assert_eq!(devices.tags(), roster);
    }
}
