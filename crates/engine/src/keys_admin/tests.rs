//! Keys on directories: who can read and write after each change, and what is refused.

use std::path::PathBuf;

use seawall_repo::identity::Identities;
use seawall_repo::layout::{Named, Place};
use seawall_repo::records::Adoption;
use seawall_repo::seal::Cipher;
use seawall_store::World;
use seawall_store::durable::create_new;

use super::*;
use crate::error::Result;
use crate::init::{InitOptions, InitReport, Lineage, ServerIdentity, look, plan, run};
use crate::repository::{
    Acknowledge, Expecting, KeyFiles, Levels, RegionSettings, Repository, Secrets, open_regions,
    put_bytes_everywhere,
};

struct Bench {
    folder: tempfile::TempDir,
    world: World,
    made: InitReport,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::system();
        let identity = Identities::generate();
        let mut recipients = identity.recipients();
        recipients.extend(Identities::generate().recipients());
        let options = InitOptions {
            cluster: "orders".parse().unwrap(),
            key_file: folder.path().join("orders.key"),
            cipher: Cipher::Aes256Gcm,
            recipients,
            one_key: false,
            identities: KeyFiles::default(),
            label: "db1".to_owned(),
            server: ServerIdentity { system: "7401234567890123456".parse().unwrap(), postgresql: 17 },
            lineage: Lineage::Refuse,
        };
        let settings = settings(folder.path());
        let regions = open_regions(&settings, Expecting::Nothing, None, &world).unwrap();
        let planned = plan(&look(&regions, &options).await.unwrap(), &options).unwrap();
        let made = run(planned, &regions, &settings, &options, &world).await.unwrap();
        let bench = Self { folder, world, made };
        bench.identity("first", &identity);
        bench
    }

    fn identity(&self, name: &str, identity: &Identities) -> PathBuf {
        let path = self.folder.path().join(name);
        create_new(&path, identity.print().as_bytes(), 0o600, self.world.random.as_ref()).unwrap();
        path
    }

    fn of(&self, identities: &[&str]) -> KeysOf {
        let mut settings = settings(self.folder.path());
        settings.owner = Some(self.made.owner);
        let identities =
            identities.iter().map(|name| self.folder.path().join(name)).collect::<Vec<_>>().into();
        KeysOf { settings, cluster: self.made.cluster.clone(), identities }
    }

    async fn open(&self, secrets: Secrets) -> Result<Repository> {
        let of = self.of(&[]);
        Repository::open(&of.settings, &of.cluster, &secrets, None, &self.world).await
    }

    async fn store_as(&self, key_file: PathBuf, system: &str) {
        let host = self.open(Secrets::Host(key_file)).await.unwrap();
        let (name, adoption) = record(system);
        let text = seawall_repo::signed::sign_as_writer(
            &adoption,
            host.trust().repository(),
            &name,
            host.writer().unwrap(),
        )
        .unwrap();
        put_bytes_everywhere(&host.regions().set(), &name, text).await.unwrap();
    }

    async fn read(&self, system: &str) -> Result<Adoption> {
        let host = self.open(Secrets::Observer).await?;
        host.read_record::<Adoption>(&record(system).0).await.map(|read| read.value)
    }
}

fn settings(folder: &std::path::Path) -> RepositorySettings {
    let region = |name: &str| RegionSettings::new(name, format!("file://{}", folder.join(name).display()));
    RepositorySettings {
        regions: vec![region("north"), region("south")],
        id: None,
        owner: None,
        acknowledge: Acknowledge::All,
        levels: Levels::DEFAULT,
    }
}

fn record(system: &str) -> (seawall_repo::layout::ObjectName, Adoption) {
    let system = system.parse().unwrap();
    let place = Place { cluster: "orders".parse().unwrap(), system };
    let adopted = seawall_repo::time::Time::from_micros(1_700_000_000_000_000).unwrap();
    let cluster = place.cluster.clone();
    (Named::Adoption(place).to_name(), Adoption { cluster, system, after: None, adopted, postgresql: 17 })
}

#[tokio::test]
async fn a_new_recipient_opens_what_was_made_before() {
    let bench = Bench::new().await;
    let added = Identities::generate();
    bench.identity("added", &added);
    let recipient = added.recipients().pop().unwrap();
    let key = Secrets::Identities(vec![bench.folder.path().join("added")].into());
    assert_eq!(bench.open(key.clone()).await.unwrap_err().kind(), crate::Kind::Usage);
    let report = add_recipient(&bench.of(&["first"]), &recipient, &bench.world).await.unwrap();
    assert_eq!((report.recipients.len(), report.owner_key), (3, true));
    assert_eq!(report.made, ["orders/key/1.2", "owner/2"]);
    assert!(bench.open(key).await.unwrap().opens_content());
    // The new one can do what the old ones can, and a second run makes nothing.
    let again = add_recipient(&bench.of(&["added"]), &recipient, &bench.world).await.unwrap();
    assert_eq!((again.made, again.recipients), (Vec::<String>::new(), report.recipients));
}

#[tokio::test]
async fn an_interrupted_change_is_completed_with_the_same_bytes() {
    let bench = Bench::new().await;
    let recipient = Identities::generate().recipients().pop().unwrap();
    add_recipient(&bench.of(&["first"]), &recipient, &bench.world).await.unwrap();
    let lost = bench.folder.path().join("south/orders/key/1.2");
    std::fs::remove_file(&lost).unwrap();
    add_recipient(&bench.of(&["first"]), &recipient, &bench.world).await.unwrap();
    assert_eq!(
        std::fs::read(lost).unwrap(),
        std::fs::read(bench.folder.path().join("north/orders/key/1.2")).unwrap()
    );
}

#[tokio::test]
async fn a_wrong_identity_is_named_with_who_could() {
    let bench = Bench::new().await;
    bench.identity("stranger", &Identities::generate());
    let recipient = Identities::generate().recipients().pop().unwrap();
    let error = add_recipient(&bench.of(&["stranger"]), &recipient, &bench.world).await.unwrap_err();
    assert_eq!(error.id(), "keys.owner-key-needed");
    assert!(
        error.causes().iter().any(|cause| cause.contains(bench.made.recipients[0].as_str())),
        "{error:?}"
    );
    let shown = show(&bench.of(&["stranger"]), &bench.world).await.unwrap();
    assert_eq!(shown.generations[0].opens, Some(false));
    assert_eq!(shown.findings[0].id, "keys.wrong-identity");
    let shown = show(&bench.of(&["first"]), &bench.world).await.unwrap();
    assert_eq!((shown.generations[0].opens, shown.findings.len()), (Some(true), 0));
    assert_eq!((shown.writers.len(), shown.writers[0].label.as_str()), (1, "db1"));
}

fn host<'a>(label: &'a str, output: &'a std::path::Path) -> NewWriter<'a> {
    NewWriter { label, rights: &[Right::Write], output }
}

#[tokio::test]
async fn a_second_host_writes_and_after_its_revocation_only_what_it_wrote_before_counts() {
    let bench = Bench::new().await;
    let file = bench.folder.path().join("db2.key");
    let added = add_writer(&bench.of(&["first"]), &host("db2", &file), &bench.world).await.unwrap();
    let again = add_writer(&bench.of(&["first"]), &host("other", &file), &bench.world).await.unwrap();
    assert_eq!((again.writer, again.label.as_str()), (added.writer, "db2"));
    assert!(!bench.open(Secrets::Host(file.clone())).await.unwrap().opens_content());
    bench.store_as(file.clone(), "11").await;
    bench.world.clock.sleep(std::time::Duration::from_millis(50)).await;
    let unknown =
        revoke_writer(&bench.of(&["first"]), "00".repeat(16).parse().unwrap(), "x", &bench.world).await;
    assert_eq!(unknown.unwrap_err().id(), "keys.writer-unknown");
    revoke_writer(&bench.of(&["first"]), added.writer, "host stolen", &bench.world).await.unwrap();
    bench.world.clock.sleep(std::time::Duration::from_millis(50)).await;
    bench.store_as(file, "12").await;
    assert_eq!(bench.read("11").await.unwrap().postgresql, 17);
    let refused = format!("{:?}", bench.read("12").await.unwrap_err());
    assert!(refused.contains("revoked") && refused.contains("host stolen"), "{refused}");
    let shown = show(&bench.of(&[]), &bench.world).await.unwrap();
    let revoked: Vec<_> = shown.writers.iter().map(|writer| writer.revoked.is_some()).collect();
    assert_eq!(revoked, [false, true]);
}

#[tokio::test]
async fn a_file_that_belongs_to_something_else_is_not_replaced() {
    let (bench, other) = (Bench::new().await, Bench::new().await);
    let file = other.folder.path().join("orders.key");
    let before = std::fs::read(&file).unwrap();
    let error = add_writer(&bench.of(&["first"]), &host("db2", &file), &bench.world).await.unwrap_err();
    assert_eq!((error.id(), std::fs::read(&file).unwrap()), ("keys.file-of-another", before));
}

#[tokio::test]
async fn an_interrupted_rotation_is_completed_and_not_repeated() {
    let bench = Bench::new().await;
    let options = RotateOptions::default();
    let made = rotate(&bench.of(&["first"]), &options, &bench.world).await.unwrap();
    assert_eq!((made.generation, made.completed, made.recipients.len()), (2, false, 2));
    let lost = bench.folder.path().join("south/orders/key/2.1");
    std::fs::remove_file(&lost).unwrap();
    let again = rotate(&bench.of(&["first"]), &options, &bench.world).await.unwrap();
    assert_eq!((again.generation, again.completed), (2, true));
    let other = std::fs::read(bench.folder.path().join("north/orders/key/2.1")).unwrap();
    assert_eq!(std::fs::read(lost).unwrap(), other);
    assert_eq!(rotate(&bench.of(&["first"]), &options, &bench.world).await.unwrap().generation, 3);
}

#[tokio::test]
async fn a_host_takes_up_only_keys_that_the_owner_signed_for_it() {
    let (bench, other) = (Bench::new().await, Bench::new().await);
    rotate(&bench.of(&["first"]), &RotateOptions::default(), &bench.world).await.unwrap();
    let (update, host) = (bench.folder.path().join("update"), bench.folder.path().join("orders.key"));
    let made = host_update(&bench.of(&["first"]), &update, &bench.world).await.unwrap();
    assert_eq!(made.generations, [1, 2]);
    let before = std::fs::read(&host).unwrap();
    let take = async |bench: &Bench, host: &std::path::Path, update: &std::path::Path| {
        let of = bench.of(&[]);
        accept(&of.settings, &of.cluster, host, update, &bench.world).await
    };
    let foreign = other.folder.path().join("orders.key");
    assert_eq!(take(&other, &foreign, &update).await.unwrap_err().id(), "keys.update-of-another");
    // Its first generation with another meta key, its second with another public key.
    let text = std::fs::read_to_string(&update).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (number, field) in [(0, "meta"), (1, "public")] {
        let mut forged = json.clone();
        forged["generations"][number][field] = json["generations"][1 - number][field].clone();
        let path = bench.folder.path().join(format!("forged-{field}"));
        create_new(&path, forged.to_string().as_bytes(), 0o600, bench.world.random.as_ref()).unwrap();
        assert_eq!(take(&bench, &host, &path).await.unwrap_err().id(), "keys.update-refused", "{field}");
    }
    assert_eq!(std::fs::read(&host).unwrap(), before, "nothing was changed");
    let taken = take(&bench, &host, &update).await.unwrap();
    assert_eq!((taken.added, taken.generation), (vec![2], 2));
    assert!(!bench.open(Secrets::Host(host)).await.unwrap().opens_content());
}

#[tokio::test]
async fn a_passphrase_stays_with_every_later_change() {
    let bench = Bench::new().await;
    let words = seawall_repo::identity::Passphrase::from("seven correct horses stay".to_owned());
    let added = add_passphrase(&bench.of(&["first"]), &words, &bench.world).await.unwrap();
    assert_eq!((added.made.len(), added.passphrases, added.recipients.len()), (2, 1, 2));
    let file = bench.folder.path().join("words");
    create_new(&file, b"seven correct horses stay\n", 0o600, bench.world.random.as_ref()).unwrap();
    let mut by_words = bench.of(&[]);
    by_words.identities.passphrases.push(file);
    let recipient = Identities::generate().recipients().pop().unwrap();
    add_recipient(&by_words, &recipient, &bench.world).await.unwrap();
    let rotated = rotate(&by_words, &RotateOptions::default(), &bench.world).await.unwrap();
    assert_eq!((rotated.passphrases, rotated.passphrases_left_behind), (1, 0));
    let without = rotate(&bench.of(&["first"]), &RotateOptions::default(), &bench.world).await.unwrap();
    assert_eq!((without.passphrases, without.passphrases_left_behind), (0, 1));
    let shown = show(&by_words, &bench.world).await.unwrap();
    let opens: Vec<_> = shown.generations.iter().map(|one| one.opens).collect();
    assert_eq!(opens, [Some(true), Some(true), Some(false)]);
}
