//! What happened in histories, so that none of it is left out by chance.

/// How often things happened: a model in which nothing does shows nothing.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) backups: u64,
    pub(super) deleted: u64,
    pub(super) promotions: u64,
    pub(super) upgrades: u64,
    pub(super) mounts: u64,
    pub(super) copied: u64,
    pub(super) damaged: u64,
    pub(super) healed: u64,
    pub(super) refused: u64,
    pub(super) died: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.backups += other.backups;
        self.deleted += other.deleted;
        self.promotions += other.promotions;
        self.upgrades += other.upgrades;
        self.mounts += other.mounts;
        self.copied += other.copied;
        self.damaged += other.damaged;
        self.healed += other.healed;
        self.refused += other.refused;
        self.died += other.died;
    }

    pub(super) fn refuse_if_nothing_happened(&self) {
        let all = [
            self.backups,
            self.deleted,
            self.promotions,
            self.upgrades,
            self.mounts,
            self.copied,
            self.damaged,
            self.healed,
            self.refused,
            self.died,
        ];
        assert!(all.iter().all(|count| *count > 0), "{self:?}");
    }
}
