//! Flights: deposits and puts on their way to the disk. While the carrier (load.rs) makes one batch durable, the next is decided and
//! laid into the other load; it starts when the one before has landed.

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use valise_protocol::wire::Kept;

use super::deposits::{Batch, Deciding, Incoming};
use super::load::{Carried, Carrier, Load, Way};
use super::puts::{IncomingParcel, Puts};
use super::record::{Body, Record};
use super::room;
use super::segment::{Place, Sort};
use super::shared::Shared;
use super::writer::{Active, Reply, Writer};
use crate::store::{Deposited, StoreError};

/// The flight in the air and the one that is boarding.
pub(super) struct Flights {
    carrier: Carrier,
    aloft: Option<Flight>,
    /// Decided, and laid into `load`.
    batch: Batch,
    load: Load,
    /// The other load, while none is on its way.
    spare: Load,
    /// Whether deposits may be taken, asked once for each load.
    room: bool,
}

struct Flight {
    batch: Batch,
    carried: oneshot::Receiver<Carried>,
}

/// What the carrier said of a flight, if it lives.
pub(super) type Landed = Result<Carried, oneshot::error::RecvError>;

impl Flights {
    pub fn new(shared: Arc<Shared>) -> io::Result<Self> {
        Ok(Self {
            carrier: Carrier::start(shared)?,
            aloft: None,
            batch: Batch::default(),
            load: Load::new(),
            spare: Load::new(),
            room: false,
        })
    }

    /// Resolves when the load on its way is durable or lost; `None` where none is on its way.
    pub fn carried(&mut self) -> Option<&mut oneshot::Receiver<Carried>> {
        self.aloft.as_mut().map(|flight| &mut flight.carried)
    }

    /// Whether [`Self::carried`] would resolve at once.
    pub fn has_landed(&self) -> bool {
        let aloft = self.aloft.as_ref();
        aloft.is_some_and(|flight| !flight.carried.is_empty())
    }

    /// What is decided and not in the index yet.
    pub fn batches(&self) -> impl Iterator<Item = &Batch> + Clone {
        let aloft = self.aloft.as_ref().map(|flight| &flight.batch);
        aloft.into_iter().chain([&self.batch])
    }

    /// Whether anything waits for the next start: what is to be written, or answers that must not come before others.
    fn is_boarding(&self) -> bool {
        !self.load.is_empty() || !self.batch.puts.is_empty()
    }

    /// Starts what has boarded. None may be aloft.
    fn start(&mut self) {
        if self.is_boarding() {
            let spare = std::mem::take(&mut self.spare);
            let load = std::mem::replace(&mut self.load, spare);
            self.aloft = Some(Flight {
                batch: std::mem::take(&mut self.batch),
                carried: self.carrier.send(load),
            });
        }
    }
}

impl Writer {
    /// Decides a deposit and lays it into the load. Only where there is no room it is answered at once.
    pub(super) fn deposit(
        &mut self,
        incoming: Incoming,
        reply: Reply<Deposited>,
    ) -> io::Result<()> {
        let Some((way, place)) = self.board(Sort::Mail)? else {
            let _ = reply.send(Err(StoreError::StoreFull));
            return Ok(());
        };
        let by = Deciding {
            shared: &self.shared,
            before: self.flights.aloft.as_ref().map(|flight| &flight.batch),
            epoch: self.epoch,
        };
        let (record, payload) = self.flights.batch.decide(&by, incoming, place, reply);
        self.lay(&way, place, &record, payload.as_slice());
        Ok(())
    }

    /// Decides a put and lays what is to be kept into the load. It is answered when that, and all that was decided before, is
    /// durable.
    pub(super) fn put(&mut self, incoming: IncomingParcel, reply: Reply<Kept>) -> io::Result<()> {
        let aloft = self.flights.aloft.as_ref().map(|flight| &flight.batch.puts);
        let on_their_way = [aloft, Some(&self.flights.batch.puts)];
        let parcel = match Puts::decide(&self.shared, on_their_way, &incoming) {
            Ok(Some(parcel)) => parcel,
            decided => {
                let outcome = decided.map(|_| Kept::Already);
                self.flights.batch.puts.answer(outcome, reply);
                return Ok(());
            }
        };
        let Some((way, place)) = self.board(Sort::Parcels)? else {
            let _ = reply.send(Err(StoreError::StoreFull));
            return Ok(());
        };
        let record = Record {
            body: Body::Parcel(parcel),
            seal: incoming.seal,
        };
        self.lay(&way, place, &record, incoming.payload.as_slice());
        let puts = &mut self.flights.batch.puts;
        puts.keep(parcel, place);
        puts.answer(Ok(Kept::New), reply);
        Ok(())
    }

    /// The place for another record of the load; `None` where there is no room.
    fn board(&mut self, sort: Sort) -> io::Result<Option<(Way, Place)>> {
        if self.flights.load.is_full(sort) {
            self.advance()?;
        }
        if self.active.get(&sort).is_none_or(Active::is_full) {
            // A start authenticates the extents of the last segment only: when a new one is begun, all before are durable.
            self.settle()?;
        }
        if self.flights.load.is_empty() {
            self.flights.room = room::has_room(&*self.shared.disk, &self.shared.config);
        }
        if self.flights.room {
            self.place(sort)
        } else {
            Ok(None)
        }
    }

    fn lay(&mut self, way: &Way, place: Place, record: &Record, payload: &[u8]) {
        let slot = record.wrap(self.shared.keys().newest(), place, &mut super::system_rng());
        self.flights.load.add(way, place.slot, &slot, payload);
    }

    /// Notes that the flight that was aloft has come down, as [`Flights::carried`] said.
    pub(super) fn land(&mut self, landed: Landed) -> io::Result<()> {
        let flight = self.flights.aloft.take();
        flight.map_or(Ok(()), |flight| self.come_down(flight.batch, landed))
    }

    /// Starts the next flight, and acknowledges the one that is durable now.
    fn come_down(&mut self, batch: Batch, landed: Landed) -> io::Result<()> {
        self.flights.spare = landed.map_err(io::Error::other)??;
        self.flights.start();
        self.wipes.extend(batch.publish(&self.shared)?);
        Ok(())
    }

    /// Waits for the flight that is aloft, and starts the next.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        match self.flights.aloft.take() {
            Some(Flight { batch, carried }) => self.come_down(batch, carried.blocking_recv()),
            None => {
                self.flights.start();
                Ok(())
            }
        }
    }

    /// Waits until everything that was decided is durable and acknowledged.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        while self.flights.aloft.is_some() || self.flights.is_boarding() {
            self.advance()?;
        }
        Ok(())
    }
}
