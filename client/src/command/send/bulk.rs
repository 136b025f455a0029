//! Carrying a plan out: first every envelope, so that staff can act on the text, then the parcels.

use std::sync::Arc;

use valise_protocol::limits::PARCEL;
use valise_protocol::time::Timestamp;

use crate::attach::{self, upload};
use crate::failure::{Failure, Outcome};
use crate::interrupt::{interrupted, until_told};
use crate::link::Pace;
use crate::progress::{Progress, bytes};
use crate::ui::{self, Terminal, note, say_wrapped};

use super::Send;
use super::delivery::Delivered;
use super::plan::{Plan, Upload};

impl Plan<'_> {
    /// Says what the files will cost and what they give away, and asks on a terminal.
    ///
    /// # Errors
    /// A failure when the person does not want it.
    pub fn tell_cost(&self, send: &Send) -> Outcome<()> {
        let Some(first) = self.uploads.first() else {
            return Ok(());
        };
        let files = first.set.items.iter();
        let files: Vec<u64> = files.filter_map(|item| Some(item.file()?.length)).collect();
        let (count, length) = (files.len(), files.iter().sum());
        let padded: u64 = self
            .uploads
            .iter()
            .map(|upload| attach::bytes(&upload.set.items))
            .sum();
        note(&format!(
            "{}, {}, are padded to one of 24 sizes each and take {} in {} parcels of 262,144 bytes.",
            if count == 1 {
                "1 file".to_owned()
            } else {
                format!("{count} files")
            },
            bytes(length),
            bytes(padded),
            padded / PARCEL as u64,
        ));
        match self.uploads.len() {
            1 => {}
            many if send.case.undisclosed => note(&format!(
                "so that the mechanisms cannot learn of each other, the files are sent {many} times. A relay that serves several of them sees that they come from one place.",
            )),
            many => note(&format!(
                "no relay serves all of the mechanisms, so the files are sent {many} times.",
            )),
        }
        note(
            "a watcher of your network will see that something of about this size was sent, and where to, not what it is. \
             The text goes first. The rest can be interrupted and goes on later, by the same words and files.",
        );
        let Ok(mut terminal) = Terminal::open() else {
            return Ok(());
        };
        if send.yes || terminal.confirm("Send it?")? {
            return Ok(());
        }
        Err(Failure::new("nothing was sent"))
    }

    /// Sends all of it, and says what came of each part.
    ///
    /// # Errors
    /// A failure when any part of it failed; the others were sent all the same.
    pub async fn carry_out(
        &self,
        pace: Option<Arc<Pace>>,
        clock: &dyn Fn() -> Timestamp,
    ) -> Outcome<()> {
        let alone = self.deliveries.len() == 1;
        let mut failures = Vec::new();
        let mut delivered = Vec::with_capacity(self.deliveries.len());
        for delivery in &self.deliveries {
            note("sending");
            let now = clock();
            match delivery.deliver(now).await {
                Ok(done) => {
                    delivery.report(&done, now);
                    delivered.push(Some(done));
                }
                Err(failure) if alone => return Err(failure),
                Err(failure) if failure.is_interruption() => {
                    failures.iter().for_each(ui::error);
                    return Err(failure);
                }
                Err(failure) => {
                    failures.push(failure.at(delivery.to.relay.host()));
                    delivered.push(None);
                }
            }
        }
        for upload in &self.uploads {
            if let Err(failure) = self.upload(upload, &delivered, pace.clone(), clock).await {
                let ends = failure.is_interruption();
                failures.push(failure);
                if ends {
                    break;
                }
            }
        }
        let last = failures.pop();
        failures.iter().for_each(ui::error);
        last.map_or(Ok(()), Err)
    }

    async fn upload(
        &self,
        plan: &Upload,
        delivered: &[Option<Delivered>],
        pace: Option<Arc<Pace>>,
        clock: &dyn Fn() -> Timestamp,
    ) -> Outcome<()> {
        // Parcels are on the account of an inbox at that relay.
        let mut members = plan.members.iter().copied();
        let payer = members.find_map(|at| {
            let here = self.deliveries[at].to.relay.id() == plan.relay.id();
            delivered[at]
                .as_ref()
                .filter(|_| here)
                .map(|done| (at, done))
        });
        let Some((payer, done)) = payer else {
            return Err(
                Failure::new("the files were not sent, because the text was not")
                    .hint("give the same command again with --again and the same words"),
            );
        };
        let progress = Arc::new(Progress::new("stored", attach::bytes(&plan.set.items)));
        let job = attach::Upload {
            relay: &plan.relay,
            items: &plan.set.items,
            elsewhere: &plan.elsewhere,
            pace,
            clock,
        };
        let renew = || self.deliveries[payer].deposit_again(done, clock());
        let uploaded = until_told(upload(&job, done.grant, renew, &progress)).await;
        progress.finish();
        let (stored, all) = (
            attach::stored(&plan.set.items),
            attach::parcels(&plan.set.items),
        );
        let so_far = format!("{stored} of {all} parcels are stored");
        let again = "to go on, from anywhere: the same command with --again, the same words and the same files";
        let failures = match uploaded {
            None => {
                let told = interrupted().what().to_owned();
                let failure = Failure::new(format!("{told}: {so_far}"));
                return Err(failure.hint(again).interruption());
            }
            Some(Err(failure)) => {
                note(&so_far);
                return Err(failure.hint(again));
            }
            Some(Ok(failures)) => failures,
        };
        if failures.is_empty() {
            say_wrapped(&format!(
                "All files are stored at the relay: {all} parcels."
            ));
            return Ok(());
        }
        failures.iter().for_each(ui::error);
        Err(Failure::new(format!(
            "{} of the files were not sent, though the text says that they come",
            failures.len()
        ))
        .hint("send them again with a text that says so, with --again and the same words"))
    }
}
