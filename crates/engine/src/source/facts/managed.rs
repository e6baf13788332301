//! Managed services: recognising them, and saying what is possible there instead.
//!
//! Promise: a cluster of one's own is not taken for a managed one because a dump brought a role along; two
//! independent signs are needed.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A service that runs PostgreSQL for its users and keeps the files to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the services'")]
pub enum ManagedService {
    CloudSql,
    AlloyDb,
    AmazonRds,
    AzureDatabase,
    Neon,
}

/// Names found on the server that services leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Names of roles.
    pub roles: Vec<String>,
    /// Names of databases.
    pub databases: Vec<String>,
    /// What stands before the dot in names of settings.
    pub setting_prefixes: Vec<String>,
}

struct Marks {
    service: ManagedService,
    name: &'static str,
    role: &'static str,
    database: Option<&'static str>,
    setting_prefix: &'static str,
    own_backup: &'static str,
    logical: &'static str,
}

const MARKS: [Marks; 5] = [
    Marks {
        service: ManagedService::CloudSql,
        name: "Google Cloud SQL",
        role: "cloudsqlsuperuser",
        database: Some("cloudsqladmin"),
        setting_prefix: "cloudsql",
        own_backup: "gcloud sql backups create, and point-in-time recovery in the instance's settings",
        logical: "the flag cloudsql.logical_decoding=on",
    },
    Marks {
        service: ManagedService::AlloyDb,
        name: "Google AlloyDB",
        role: "alloydbsuperuser",
        database: Some("alloydbadmin"),
        setting_prefix: "alloydb",
        own_backup: "gcloud alloydb backups create, and continuous backup in the cluster's settings",
        logical: "the flag alloydb.logical_decoding=on",
    },
    Marks {
        service: ManagedService::AmazonRds,
        name: "Amazon RDS or Aurora",
        role: "rds_superuser",
        database: Some("rdsadmin"),
        setting_prefix: "rds",
        own_backup: "aws rds create-db-snapshot, and automated backups with a retention period",
        logical: "the parameter rds.logical_replication=1",
    },
    Marks {
        service: ManagedService::AzureDatabase,
        name: "Azure Database for PostgreSQL",
        role: "azure_pg_admin",
        database: Some("azure_maintenance"),
        setting_prefix: "azure",
        own_backup: "az postgres flexible-server backup create, and the backup retention of the server",
        logical: "wal_level=logical in the server's parameters",
    },
    Marks {
        service: ManagedService::Neon,
        name: "Neon",
        role: "neon_superuser",
        database: None,
        setting_prefix: "neon",
        own_backup: "branches and the history retention of the project",
        logical: "logical replication in the project's settings",
    },
];

impl ManagedService {
    /// The service that left at least two of its three signs.
    #[must_use]
    pub fn recognise(signs: &Signs) -> Option<Self> {
        let has = |names: &[String], wanted: &str| names.iter().any(|name| name == wanted);
        let found = MARKS.iter().find(|marks| {
            let role = has(&signs.roles, marks.role);
            let database = marks.database.is_some_and(|name| has(&signs.databases, name));
            let setting = has(&signs.setting_prefixes, marks.setting_prefix);
            [role, database, setting].into_iter().filter(|sign| *sign).count() >= 2
        });
        found.map(|marks| marks.service)
    }

    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.marks().name
    }

    fn marks(self) -> &'static Marks {
        // Each service has its row (a test holds that); the first one stands in for a row that cannot be missing.
        MARKS.iter().find(|marks| marks.service == self).unwrap_or(&MARKS[0])
    }

    /// Why there can be no physical backup of it, and what to do.
    #[must_use]
    pub fn refusal(self) -> Error {
        let marks = self.marks();
        Error::source_side("source.managed-service", format!("{} does not give access to the files of its servers", marks.name))
            .fact("needed", "a shell on the database's host as the owner of the data directory")
            .fact("not given by the service", "data directory, archive_command, pg_backup_start")
            .hint(format!("for recovery within the service use its own backups: {}", marks.own_backup))
            .hint(
                "for a copy outside the service, export with pg_dump --format=directory --jobs=4 for each database and \
                 pg_dumpall --globals-only --no-role-passwords; such a copy is as old as its last run",
            )
            .hint(format!(
                "for a copy outside the service that is seconds old, set {}, subscribe a PostgreSQL server of your own \
                 to all tables (CREATE PUBLICATION ... FOR ALL TABLES), and back that server up with seawall; DDL, \
                 sequences and large objects have to be carried over separately",
                marks.logical
            ))
            .hint("before moving off the service, the same subscription is the way with the shortest interruption")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(role: &str, database: &str, prefix: &str) -> Signs {
        let one = |name: &str| vec![name.to_owned()];
        Signs { roles: one(role), databases: one(database), setting_prefixes: one(prefix) }
    }

    #[test]
    fn two_signs_are_a_service_and_one_is_not() {
        let rds = Some(ManagedService::AmazonRds);
        assert_eq!(ManagedService::recognise(&signs("rds_superuser", "rdsadmin", "rds")), rds);
        assert_eq!(ManagedService::recognise(&signs("rds_superuser", "orders", "rds")), rds);
        assert_eq!(ManagedService::recognise(&signs("rds_superuser", "orders", "auto_explain")), None);
        assert_eq!(ManagedService::recognise(&signs("x", "azure_maintenance", "cloudsql")), None);
        assert_eq!(ManagedService::recognise(&Signs::default()), None);
    }

    #[test]
    fn every_service_has_its_own_words() {
        for marks in &MARKS {
            let refusal = marks.service.refusal();
            assert!(refusal.to_string().contains(marks.name));
            assert_eq!(marks.service.name(), marks.name);
            assert!(refusal.hints().iter().any(|hint| hint.contains("pg_dump")));
        }
    }
}
