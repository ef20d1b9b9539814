//! Whom we trust: the system's authorities and those of the configuration.

use std::sync::Arc;
use std::sync::OnceLock;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use super::ConnectError;
use super::Options;

/// What connections over TLS are made with. The system's authorities take milliseconds to read, which is done when they are
/// first needed.
pub(super) struct Tls {
    authorities: Vec<CertificateDer<'static>>,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    /// Reads the authorities of the configuration; where it is known that they will be needed, the system's as well.
    pub(super) fn new(options: &Options) -> Result<Self, ConnectError> {
        let pems = options.authorities.iter();
        let authorities = pems.flat_map(|pem| CertificateDer::pem_slice_iter(pem));
        let authorities = authorities
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                ConnectError::permanent(format!(
                    "the certificate authority cannot be read: {error}"
                ))
            })?;
        let tls = Tls {
            authorities,
            config: OnceLock::new(),
        };
        if options.url.scheme() == "https" || !tls.authorities.is_empty() {
            tls.config().map_err(|error| {
                ConnectError::permanent(format!(
                    "the certificate authorities cannot be used: {error}"
                ))
            })?;
        }
        Ok(tls)
    }

    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make()?);
        Ok(Arc::clone(self.config.get_or_init(|| config)))
    }

    fn make(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let verifier = match self.authorities.as_slice() {
            [] => Verifier::new(provider)?,
            ours => Verifier::new_with_extra_roots(ours.iter().cloned(), provider)?,
        };
        let mut config = config
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
        Ok(config)
    }
}
