//! The records of the ground that its bench does not make: the owner's key, a revocation, a backup under way, an event, and what decides
//! about keeping.

use seawall_repo::condemned::{
    Condemned, Hold, HoldOn, HoldReleased, PolicyRecord, Tombstone, TombstoneDone, TombstoneRevoked,
};
use seawall_repo::event::Event;
use seawall_repo::hole::HoleRecord;
use seawall_repo::id::{BackupId, RecordId};
use seawall_repo::keys::WriterKey;
use seawall_repo::layout::{Named, RegionLabel};
use seawall_repo::records::{Intent, OwnerRecord, Revocation};

use super::ground::Ground;
use crate::archive::testing::SYSTEM;
use crate::repository::WorldEntropy;

impl Ground {
    /// Puts all of them.
    pub(super) async fn records(&mut self) {
        let world = self.bench.world.clone();
        let now = crate::backup::now(&world).unwrap();
        let (id, owner) = self.bench.owner.as_ref().unwrap();
        let identity =
            crate::repository::load_identities(&vec![self.bench.folder.path().join("identity")].into())
                .unwrap();
        let wrapped =
            owner.wrap(&[seawall_repo::wrapped::WrapFor::Recipients(&identity.recipients())]).unwrap();
        self.bench.put(id, owner, Named::Owner { change: 1 }, &OwnerRecord { change: 1, wrapped }).await;
        let mut entropy = WorldEntropy::new(&world);
        let gone = WriterKey::generate(&mut entropy).id();
        let revocation = Revocation { writer: gone, revoked: now, reason: "lost".to_owned() };
        self.bench.put(id, owner, Named::Revocation(gone), &revocation).await;
        let backup = BackupId::new(now.seconds(), &mut entropy).unwrap();
        let intent = Intent {
            backup,
            n: 1,
            uses: Vec::new(),
            adopts: Vec::new(),
            host: "db1".to_owned(),
            pid: 1,
            written: now,
        };
        let name = Named::Intent { place: self.bench.place(), backup, number: 1 }.into();
        self.host.put_record(&self.host.regions().set(), &name, &intent).await.unwrap();
        self.event("prune", now.seconds()).await;
        self.keeping().await;
    }

    /// What decides about keeping: a policy, a hold and a tombstone, each with its end.
    async fn keeping(&self) {
        let pruner = self.bench.as_host("pruner").await.unwrap();
        let (place, now) = (self.bench.place(), crate::backup::now(&self.bench.world).unwrap());
        let id = crate::events::record_id(&pruner).unwrap();
        let (host, by, reason) = ("db1".to_owned(), "ops".to_owned(), "audit".to_owned());
        let set = pruner.regions().set();
        let rules = serde_json::json!({ "daily": 30, "shrink_delay": 0 });
        let policy = PolicyRecord {
            cluster: place.cluster.clone(),
            number: 1,
            rules: rules.as_object().unwrap().clone(),
            holds: Vec::new(),
            written: now,
            host: host.clone(),
        };
        let name = Named::Policy { cluster: place.cluster.clone(), number: 1 }.to_name();
        pruner.put_record(&set, &name, &policy).await.unwrap();
        let hold = Hold {
            hold: id,
            cluster: place.cluster.clone(),
            on: HoldOn::Everything,
            reason: reason.clone(),
            until: None,
            by: by.clone(),
            written: now,
        };
        pruner.put_record(&set, &Named::Hold { place: place.clone(), id }.to_name(), &hold).await.unwrap();
        let released = HoldReleased { hold: id, reason: reason.clone(), by, written: now };
        let name = Named::HoldReleased { place: place.clone(), id }.to_name();
        pruner.put_record(&set, &name, &released).await.unwrap();
        self.acknowledged(id).await;
        let tombstone = Tombstone {
            tombstone: id,
            cluster: place.cluster.clone(),
            system: SYSTEM,
            regions: vec!["north".to_owned(), "south".to_owned()],
            grace: 86_400,
            segment_size: None,
            condemned: Condemned::default(),
            written: now,
            host: host.clone(),
        };
        let name = Named::Tombstone { place: place.clone(), id }.to_name();
        pruner.put_record(&set, &name, &tombstone).await.unwrap();
        let revoked = TombstoneRevoked { tombstone: id, reason, written: now, host: host.clone() };
        let name = Named::TombstoneRevoked { place: place.clone(), id }.to_name();
        pruner.put_record(&set, &name, &revoked).await.unwrap();
        let done = TombstoneDone {
            tombstone: id,
            region: "south".to_owned(),
            deleted: 0,
            bytes: 0,
            spared: Condemned::default(),
            written: now,
            host,
        };
        let region = RegionLabel::new("south").unwrap();
        let name = Named::TombstoneDone { place, id, region }.to_name();
        pruner.put_record(&set, &name, &done).await.unwrap();
    }

    /// A hole that was acknowledged.
    async fn acknowledged(&self, id: RecordId) {
        let (pruner, place) = (self.bench.as_host("pruner").await.unwrap(), self.bench.place());
        let hole = HoleRecord {
            hole: id,
            cluster: place.cluster.clone(),
            system: SYSTEM,
            segment_size: self.bench.size,
            missing: Vec::new(),
            reason: "lost".to_owned(),
            by: "ann".to_owned(),
            written: crate::backup::now(&self.bench.world).unwrap(),
            host: "pruner".to_owned(),
        };
        let name = Named::Hole { place, id }.to_name();
        pruner.put_record(&pruner.regions().set(), &name, &hole).await.unwrap();
    }

    pub(super) async fn event(&mut self, what: &str, seconds: u64) {
        let mut entropy = WorldEntropy::new(&self.bench.world);
        let event = Event {
            event: seawall_repo::id::RecordId::new(seconds, &mut entropy).unwrap(),
            what: what.to_owned(),
            at: crate::backup::now(&self.bench.world).unwrap(),
            host: "db1".to_owned(),
            version: "0".to_owned(),
            detail: serde_json::Map::new(),
        };
        let (sealer, writer) = (self.host.sealer().unwrap(), self.host.writer().unwrap());
        let sealed =
            event.seal(&self.bench.place(), sealer, writer, &mut self.compressor, &mut entropy).unwrap();
        self.put(sealed).await;
    }
}
