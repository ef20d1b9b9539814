//! TLS as a company's own proxy ends it: an authority that nobody knows but the test, certificates by it, and a front that passes
//! what it decrypts on to a server. Knows nothing of HTTP.

use std::path::Path;
use std::sync::Arc;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::IsCa;
use rcgen::KeyPair;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// An authority that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Default for Authority {
    /// One that nobody trusts yet.
    fn default() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }
}

impl Authority {
    /// Writes its certificate, for those who are to trust it.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.0.pem()).unwrap();
    }

    /// A certificate for a name or an address, and its key.
    fn certify(&self, name: &str) -> ServerConfig {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

/// What ends TLS in front of a server; it ends itself when it is dropped.
#[derive(Debug)]
pub struct Front {
    /// Where it is.
    pub url: String,
    task: JoinHandle<()>,
}

impl Front {
    /// Starts one in front of a server at a port of this machine, with a certificate for a name.
    pub async fn start(authority: &Authority, name: &str, port: u16) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(authority.certify(name)));
        let task = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(acceptor.clone(), near, port));
            }
        });
        Front { url, task }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes one connection on; one that is not taken is the other side's to report.
async fn carry(acceptor: TlsAcceptor, near: TcpStream, port: u16) {
    let Ok(mut near) = acceptor.accept(near).await else {
        return;
    };
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    // How either side ends is what the other is to see.
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}
