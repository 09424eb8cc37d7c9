//! A certificate authority of our own, and the server's certificate under it.
//!
//! The keys stay where they were made, so that a client that trusts `ca.pem` trusts it after a
//! restart too; the server's certificate is written anew each time, for its names may have changed.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, net::IpAddr};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::TlsConfig;

const NAMES: [&str; 4] = ["localhost", "127.0.0.1", "::1", "gateway.internxt.com"];

/// What the server shows to clients, and what they need to believe it.
pub(super) struct Identity {
    pub(super) acceptor: TlsAcceptor,
    pub(super) ca_file: PathBuf,
}

impl Identity {
    /// Uses the keys in `dir`, or makes them there.
    pub(super) fn load_or_make(dir: &Path, config: &TlsConfig) -> io::Result<Identity> {
        let ca_key = key(&dir.join("ca-key.pem"))?;
        let ca_file = dir.join("ca.pem");
        let ca_params = ca_params();
        if !ca_file.exists() {
            let certificate = ca_params.self_signed(&ca_key).map_err(io::Error::other)?;
            fs::write(&ca_file, certificate.pem())?;
        }
        let issuer = Issuer::from_params(&ca_params, &ca_key);
        let server_key = key(&dir.join("server-key.pem"))?;
        let params = server_params(&config.names)?;
        let certificate = params.signed_by(&server_key, &issuer).map_err(io::Error::other)?;
        fs::write(dir.join("server.pem"), certificate.pem())?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .map_err(io::Error::other)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Identity { acceptor: TlsAcceptor::from(Arc::new(server)), ca_file })
    }
}

fn key(file: &Path) -> io::Result<KeyPair> {
    match fs::read_to_string(file) {
        Ok(pem) => KeyPair::from_pem(&pem)
            .map_err(|e| io::Error::other(format!("{} is no key ({e}): remove it", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            options.open(file)?.write_all(key.serialize_pem().as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "inxtfs emulator authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params(extra: &[String]) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "inxtfs emulator");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    for name in NAMES.into_iter().chain(extra.iter().map(String::as_str)) {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().map_err(io::Error::other)?),
        });
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_private_and_outlive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let config = TlsConfig { names: vec!["cloud.test".into(), "10.1.2.3".into()] };
        Identity::load_or_make(dir.path(), &config).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let (ca, key, server) = (read("ca.pem"), read("ca-key.pem"), read("server-key.pem"));
        Identity::load_or_make(dir.path(), &TlsConfig::default()).unwrap();
        assert_eq!((ca, key, server), (read("ca.pem"), read("ca-key.pem"), read("server-key.pem")));
        for name in ["ca-key.pem", "server-key.pem"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_damaged_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca-key.pem"), "rubbish").unwrap();
        let error = Identity::load_or_make(dir.path(), &TlsConfig::default()).err().unwrap();
        assert!(error.to_string().contains("ca-key.pem"), "{error}");
    }
}
