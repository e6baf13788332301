//! Over TLS: an authority of one's own is believed only where `ca_file` names it, and only for the name it vouches for; a proxy hands the
//! connection on and sees nothing of it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use seawall_store::{ErrorKind, Region, RegionConfig, World};

use crate::service::{Emulator, private_file};
use seawall_testkit::emulators::seaweed::{SECRET, Shown};

/// An authority that nobody knows.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut of = CertificateParams::default();
        of.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(of, key).unwrap() }
    }

    fn vouches_for(&self, name: &str) -> Shown {
        let key = KeyPair::generate().unwrap();
        let of = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = of.signed_by(&key, &self.issuer).unwrap().pem();
        Shown { certificate, key: key.serialize_pem() }
    }

    fn file(&self, emulator: &Emulator, name: &str) -> PathBuf {
        private_file(emulator.folder.path(), name, &self.issuer.pem())
    }
}

/// Hands connections on, as far as it is asked by CONNECT; keeps what passed first on each.
struct Proxy {
    url: String,
    tunnels: Arc<AtomicUsize>,
    passed: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tunnels, passed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::default()));
        let (counted, seen) = (Arc::clone(&tunnels), Arc::clone(&passed));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (counted, seen) = (Arc::clone(&counted), Arc::clone(&seen));
                // Whatever breaks, the client says so.
                std::thread::spawn(move || drop(tunnel(client, &counted, &seen)));
            }
        });
        Self { url, tunnels, passed }
    }
}

fn tunnel(mut client: TcpStream, counted: &AtomicUsize, seen: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let mut server = TcpStream::connect(target.unwrap_or_default())?;
    counted.fetch_add(1, Ordering::SeqCst);
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let back = std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
    let mut buffer = vec![0; 64 << 10];
    loop {
        let taken = client.read(&mut buffer)?;
        if taken == 0 {
            break;
        }
        seen.lock().unwrap().extend_from_slice(&buffer[..taken]);
        server.write_all(&buffer[..taken])?;
    }
    server.shutdown(std::net::Shutdown::Write)?;
    drop(back.join());
    Ok(())
}

/// What is told where this authority is believed, or none beside the system's.
async fn refused(emulator: &Emulator, believed: Option<PathBuf>) -> String {
    let mut config = emulator.config();
    config.access.ca_file = believed;
    let error =
        Region::open(config, &World::system()).unwrap().get("seawall.json", 1 << 20).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
    assert!(!error.chain().contains(SECRET), "{}", error.chain());
    error.chain()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_of_ones_own_is_believed_where_ca_file_names_it() {
    let (ours, other) = (Authority::new(), Authority::new());
    let mut emulator = Emulator::seaweed_behind(Some(&ours.vouches_for("127.0.0.1")));
    for believed in [None, Some(other.file(&emulator, "other.pem"))] {
        let told = refused(&emulator, believed).await;
        assert!(told.contains("certificate"), "{told}");
    }
    // Several in one file: any of them may vouch.
    let both = format!("{}{}", other.issuer.pem(), ours.issuer.pem());
    emulator.access.ca_file = Some(private_file(emulator.folder.path(), "both.pem", &both));
    let region = emulator.repository().await;
    let bytes = Bytes::from(vec![7; 3 << 20]);
    assert!(region.put_new("a/b", &bytes).await.unwrap().is_stored());
    assert_eq!(region.get("a/b", 4 << 20).await.unwrap(), bytes);
    through_a_proxy(&emulator, &bytes).await;
}

async fn through_a_proxy(emulator: &Emulator, bytes: &Bytes) {
    let (proxy, mut config) = (Proxy::start(), emulator.config());
    config.access.proxy = Some(proxy.url.clone());
    let region = Region::open(config, &World::system()).unwrap();
    assert_eq!(region.get("a/b", 4 << 20).await.unwrap(), *bytes);
    assert!(region.put_new("a/c", bytes).await.unwrap().is_stored());
    assert!(proxy.tunnels.load(Ordering::SeqCst) > 0);
    let passed = proxy.passed.lock().unwrap();
    assert!(passed.len() > bytes.len(), "{}", passed.len());
    for plain in ["seawall", "acme-dr", "AWS4-HMAC"] {
        assert!(!passed.windows(plain.len()).any(|window| window == plain.as_bytes()), "{plain} was seen");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_name_is_refused() {
    let ours = Authority::new();
    let emulator = Emulator::seaweed_behind(Some(&ours.vouches_for("elsewhere.example")));
    let told = refused(&emulator, Some(ours.file(&emulator, "ours.pem"))).await;
    assert!(told.contains("certificate"), "{told}");
}

/// A region that takes TLS alone is no place for plain words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_words_to_a_server_of_tls_are_an_outage() {
    let ours = Authority::new();
    let emulator = Emulator::seaweed_behind(Some(&ours.vouches_for("127.0.0.1")));
    let endpoint = emulator.access.endpoint.as_deref().unwrap().replace("https://", "http://");
    let mut config: RegionConfig = emulator.config();
    config.access.endpoint = Some(endpoint);
    let error = Region::open(config, &World::system()).unwrap().get("a/b", 1 << 20).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::NotFound, "{}", error.chain());
}
