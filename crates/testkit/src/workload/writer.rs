//! One writer: a connection that works until it is told to stop, and remembers what it tried.
//!
//! Promise: an attempt is noted before its commit is asked for; when the answer is lost, its fate is unknown and WAL decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use postgres::error::SqlState;
use postgres::{Client, NoTls, SimpleQueryMessage};

use super::steps;
use super::{Attempt, Change, Fate, Model, Random, Shared};
use crate::{Context, Failure, Result};

pub(super) fn spawn(id: u32, shared: Arc<Shared>, base: &Model) -> JoinHandle<Result<Vec<Attempt>>> {
    let writer = Writer {
        id,
        random: Random::new(shared.options.seed.wrapping_mul(1000) + u64::from(id)),
        own: base
            .tables
            .keys()
            .filter(|name| name.starts_with(&format!("ledger_own_{id}_")))
            .cloned()
            .collect(),
        large_objects: base.large_objects.keys().copied().filter(|oid| oid % 1000 == id + 1).collect(),
        shared,
        attempts: Vec::new(),
    };
    std::thread::spawn(move || writer.work())
}

/// Databases one workload makes: each costs every later judgement seconds.
const DATABASES: usize = 4;

struct Writer {
    id: u32,
    random: Random,
    // Tables and large objects this writer has made, as far as it knows; only it changes them.
    own: Vec<String>,
    large_objects: Vec<u32>,
    shared: Arc<Shared>,
    attempts: Vec<Attempt>,
}

/// How a transaction shall end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Commit,
    Rollback,
    PrepareAndCommit,
    PrepareAndRollback,
}

impl Writer {
    fn work(mut self) -> Result<Vec<Attempt>> {
        while !self.shared.stop.load(Ordering::SeqCst) {
            let connected = Client::connect(&self.shared.connection, NoTls).map_err(Failure::from);
            let ended = connected.and_then(|mut client| self.work_on(&mut client));
            match ended {
                Ok(()) => break,
                Err(failure) if !self.shared.options.survives_disconnects => return Err(failure),
                // The server was stopped on purpose; try again until it is back or the workload is over.
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(50)),
            }
        }
        Ok(self.attempts)
    }

    fn work_on(&mut self, client: &mut Client) -> Result<()> {
        self.settle_prepared(client)?;
        while !self.shared.stop.load(Ordering::SeqCst) {
            self.step(client)?;
            std::thread::sleep(self.shared.options.pace);
        }
        Ok(())
    }

    /// After a lost connection a transaction may be left prepared; nobody else will end it.
    fn settle_prepared(&self, client: &mut Client) -> Result<()> {
        let ask = format!("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'writer-{}-%'", self.id);
        for message in client.simple_query(&ask)? {
            if let SimpleQueryMessage::Row(row) = message {
                client.batch_execute(&format!("ROLLBACK PREPARED '{}'", row.get(0).unwrap_or_default()))?;
            }
        }
        Ok(())
    }

    fn step(&mut self, client: &mut Client) -> Result<()> {
        let number = self.shared.next_number.fetch_add(1, Ordering::SeqCst);
        match self.random.below(100) {
            0..=34 => {
                let (sql, change) = steps::transfer(&mut self.random);
                self.transact(client, number, &sql, vec![change], Ending::Commit)
            }
            35..=49 => {
                let (sql, change) = steps::subtransactions(number);
                self.transact(client, number, &sql, vec![change], Ending::Commit)
            }
            50..=56 => self.transact(
                client,
                number,
                &steps::parts(number, 1, 2),
                vec![Change::Parts(2)],
                Ending::PrepareAndCommit,
            ),
            57..=59 => self.transact(
                client,
                number,
                &steps::parts(number, 1, 2),
                Vec::new(),
                Ending::PrepareAndRollback,
            ),
            60..=69 => {
                let (sql, _) = steps::transfer(&mut self.random);
                self.transact(client, number, &sql, Vec::new(), Ending::Rollback)
            }
            70..=75 => self.make_table(client, number),
            76..=83 => self.change_table(client, number),
            84..=89 => self.change_large_objects(client, number),
            90..=92 => self.transact(client, number, steps::PASSING_WORK, Vec::new(), Ending::Commit),
            93..=97 => self.maintain(client),
            _ => self.make_database(client, number),
        }
    }

    fn make_table(&mut self, client: &mut Client, number: u64) -> Result<()> {
        let name = format!("ledger_own_{}_{number}", self.id);
        let (sql, change) = steps::create_table(&name, 1 + self.random.below(400));
        self.transact(client, number, &sql, vec![change], Ending::Commit)?;
        self.own.push(name);
        Ok(())
    }

    fn change_table(&mut self, client: &mut Client, number: u64) -> Result<()> {
        let kind = self.random.below(4);
        let Some(name) = self.random.pick(&self.own).cloned() else {
            let name = format!("ledger_own_{}", self.id);
            let (sql, change) = steps::refill_table(&name, self.random.below(3000), true);
            return self.transact(client, number, &sql, vec![change], Ending::Commit);
        };
        if kind == 0 {
            let (sql, change) = steps::drop_table(&name);
            self.transact(client, number, &sql, vec![change], Ending::Commit)?;
            self.own.retain(|own| *own != name);
            return Ok(());
        }
        let (sql, change) = steps::refill_table(&name, self.random.below(2000), kind == 1);
        self.transact(client, number, &sql, vec![change], Ending::Commit)?;
        // After a DELETE, VACUUM shortens the file, and the next fill makes it long again.
        if kind == 2 { self.try_alone(client, &format!("VACUUM {name}")) } else { Ok(()) }
    }

    fn change_large_objects(&mut self, client: &mut Client, number: u64) -> Result<()> {
        if self.large_objects.len() > 5 {
            let oid = self.large_objects.remove(0);
            let (sql, change) = steps::unlink_large_object(oid);
            return self.transact(client, number, &sql, vec![change], Ending::Commit);
        }
        // Object ids of one writer never meet those of another.
        let oid = 1_000_000 + (number as u32) * 1000 + self.id + 1;
        let (sql, change) = steps::create_large_object(oid, number);
        self.transact(client, number, &sql, vec![change], Ending::Commit)?;
        self.large_objects.push(oid);
        Ok(())
    }

    fn maintain(&mut self, client: &mut Client) -> Result<()> {
        let own = self.random.pick(&self.own).cloned().unwrap_or_else(|| format!("ledger_own_{}", self.id));
        let sql = steps::maintenance(&own, &mut self.random);
        self.try_alone(client, &sql)
    }

    /// Copies the template; on 15 and later in both ways. Its transaction is read from the row it leaves.
    fn make_database(&mut self, client: &mut Client, number: u64) -> Result<()> {
        let made = self.attempts.iter().filter(|attempt| !attempt.entered).count();
        if !self.shared.options.databases || self.id != 0 || made >= DATABASES {
            return Ok(());
        }
        let name = format!("ledger_copy_{number}");
        let strategy = match (self.shared.major >= 15, made % 2) {
            (false, _) => "",
            (true, 0) => "STRATEGY wal_log",
            (true, _) => "STRATEGY file_copy",
        };
        let create = format!("CREATE DATABASE {name} TEMPLATE ledger_template {strategy}");
        match client.batch_execute(&create) {
            // Autovacuum is in the template and did not leave within the server's five seconds.
            Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => return Ok(()),
            result => result.context(|| create)?,
        }
        let xid = first_value(client, &format!("SELECT xmin FROM pg_database WHERE datname = '{name}'"))?;
        let changes = vec![Change::Database(name)];
        self.attempts.push(Attempt {
            number,
            entered: false,
            xid: Some(xid.parse()?),
            changes,
            fate: Fate::Committed,
        });
        Ok(())
    }

    /// Runs a statement that may lose against other writers without harm.
    fn try_alone(&self, client: &mut Client, sql: &str) -> Result<()> {
        match client.batch_execute(sql) {
            Err(error) if is_conflict(&error) => Ok(()),
            result => result.context(|| sql.to_owned()),
        }
    }

    fn transact(
        &mut self,
        client: &mut Client,
        number: u64,
        sql: &str,
        changes: Vec<Change>,
        ending: Ending,
    ) -> Result<()> {
        let enter = steps::enter(number, self.id, &mut self.random);
        let begun =
            first_value_or_conflict(client, &format!("BEGIN; {enter} {sql} SELECT pg_current_xact_id()"))?;
        let Some(xid) = begun else {
            client.batch_execute("ROLLBACK")?;
            return Ok(());
        };
        let xid = (xid.parse::<u64>()? & u64::from(u32::MAX)) as u32;
        self.attempts.push(Attempt { number, entered: true, xid: Some(xid), changes, fate: Fate::Unknown });
        let fate = self.end(client, number, ending)?;
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.fate = fate;
        }
        Ok(())
    }

    fn end(&mut self, client: &mut Client, number: u64, ending: Ending) -> Result<Fate> {
        let name = format!("writer-{}-{number}", self.id);
        match ending {
            Ending::Commit => client.batch_execute("COMMIT")?,
            Ending::Rollback => client.batch_execute("ROLLBACK")?,
            Ending::PrepareAndCommit | Ending::PrepareAndRollback => {
                client.batch_execute(&format!("PREPARE TRANSACTION '{name}'"))?;
                // Long enough that backups and targets fall between the two.
                std::thread::sleep(std::time::Duration::from_millis(self.random.below(40)));
                let verb = if ending == Ending::PrepareAndCommit { "COMMIT" } else { "ROLLBACK" };
                client.batch_execute(&format!("{verb} PREPARED '{name}'"))?;
            }
        }
        if matches!(ending, Ending::Commit | Ending::PrepareAndCommit) {
            self.shared.acknowledged.fetch_add(1, Ordering::SeqCst);
            return Ok(Fate::Committed);
        }
        Ok(Fate::RolledBack)
    }
}

fn is_conflict(error: &postgres::Error) -> bool {
    let code = error.code();
    [SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_SERIALIZATION_FAILURE]
        .iter()
        .any(|conflict| code == Some(conflict))
}

fn first_value(client: &mut Client, sql: &str) -> Result<String> {
    last_row(&client.simple_query(sql).context(|| sql.to_owned())?)
        .ok_or_else(|| Failure::new(format!("no row of {sql}")))
}

fn first_value_or_conflict(client: &mut Client, sql: &str) -> Result<Option<String>> {
    match client.simple_query(sql) {
        Err(error) if is_conflict(&error) => Ok(None),
        result => Ok(last_row(&result.context(|| sql.to_owned())?)),
    }
}

fn last_row(messages: &[SimpleQueryMessage]) -> Option<String> {
    messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}
