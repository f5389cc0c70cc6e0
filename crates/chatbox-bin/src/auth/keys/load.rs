//! Reads keys from settings, files and directories.

use super::{ClaimRules, Key, KeySources, Keys};
use crate::config::Secret;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of the shortest HS256 key: that of its hash (RFC 7518 section 3.2).
const MIN_SECRET: usize = 32;

/// The most keys at once. A token without a `kid` is tried with each.
const MAX_KEYS: usize = 32;

/// A token key that cannot be used. The text contains nothing of the key.
#[derive(Debug)]
pub struct KeyError {
    setting: &'static str,
    path: Option<PathBuf>,
    kind: KeyErrorKind,
}

/// What is wrong with a key or its file.
#[derive(Debug)]
enum KeyErrorKind {
    Unreadable(io::Error),
    TooShort(usize),
    PrivateKey,
    NoPublicKey,
    FileName,
    TooMany,
    Empty,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        match &self.kind {
            KeyErrorKind::Unreadable(error) => write!(f, "cannot read {path}: {error}"),
            KeyErrorKind::TooShort(bytes) => {
                let space = if path.is_empty() { "" } else { " " };
                write!(f, "{path}{space}has {bytes} bytes, at least {MIN_SECRET} are needed")
            }
            KeyErrorKind::PrivateKey => write!(f, "{path}: holds a private key; the public one is wanted"),
            KeyErrorKind::NoPublicKey => {
                write!(f, "{path}: no public key in PEM for RS256 (2048 bits or more), ES256 or EdDSA")
            }
            KeyErrorKind::FileName => write!(f, "{path} is named neither KID.pem nor KID.secret"),
            KeyErrorKind::TooMany => write!(f, "{path} holds more than {MAX_KEYS} keys"),
            KeyErrorKind::Empty => write!(f, "{path} holds no key"),
        }
    }
}

impl std::error::Error for KeyError {}

impl KeyError {
    fn new(setting: &'static str, path: Option<&Path>, kind: KeyErrorKind) -> Self {
        Self { setting, path: path.map(Path::to_owned), kind }
    }

    /// The configuration key that names the token key, such as `auth.jwt_secret_file`.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }

    /// The file or directory at fault. `None` for a key in the configuration itself.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl KeySources {
    pub(super) fn read(&self, rules: &ClaimRules) -> Result<Keys, KeyError> {
        let mut reader = Reader { rules, setting: "auth.jwt_secret", keys: Vec::new(), hasher: DefaultHasher::new() };
        if let Some(secret) = &self.secret {
            reader.secret(None, None, secret)?;
        }
        if let Some(file) = &self.secret_file {
            reader.setting = "auth.jwt_secret_file";
            reader.secret_file(None, file)?;
        }
        if let Some(file) = &self.public_key_file {
            reader.setting = "auth.jwt_public_key_file";
            reader.public_keys(None, file)?;
        }
        if let Some(dir) = &self.dir {
            reader.setting = "auth.jwt_keys_dir";
            reader.dir(dir)?;
            // An empty directory must not turn authentication off.
            if reader.keys.is_empty() {
                return Err(reader.error(dir, KeyErrorKind::Empty));
            }
        }
        Ok(Keys { fingerprint: reader.hasher.finish(), keys: reader.keys })
    }
}

/// Collects keys.
struct Reader<'a> {
    rules: &'a ClaimRules,
    /// The configuration key that is being read, for errors.
    setting: &'static str,
    keys: Vec<Key>,
    hasher: DefaultHasher,
}

impl Reader<'_> {
    fn error(&self, path: &Path, kind: KeyErrorKind) -> KeyError {
        KeyError::new(self.setting, Some(path), kind)
    }

    /// The files of a directory, each named after its key: `KID.pem` a public key, `KID.secret` an HS256 key.
    fn dir(&mut self, dir: &Path) -> Result<(), KeyError> {
        let unreadable = |error| self.error(dir, KeyErrorKind::Unreadable(error));
        let entries = std::fs::read_dir(dir).map_err(unreadable)?;
        let mut files: Vec<PathBuf> =
            entries.map(|entry| Ok(entry?.path())).collect::<Result<_, _>>().map_err(unreadable)?;
        files.sort();
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match name.rsplit_once('.') {
                // Kubernetes keeps links of its own there, under names that begin with a dot.
                _ if name.starts_with('.') => {}
                Some((kid, "pem")) => self.public_keys(Some(kid), &file)?,
                Some((kid, "secret")) => self.secret_file(Some(kid), &file)?,
                _ => return Err(self.error(&file, KeyErrorKind::FileName)),
            }
        }
        if self.keys.len() > MAX_KEYS { Err(self.error(dir, KeyErrorKind::TooMany)) } else { Ok(()) }
    }

    fn secret_file(&mut self, id: Option<&str>, file: &Path) -> Result<(), KeyError> {
        let secret = Secret::read(file).map_err(|error| self.error(file, KeyErrorKind::Unreadable(error)))?;
        self.secret(id, Some(file), &secret)
    }

    fn secret(&mut self, id: Option<&str>, file: Option<&Path>, secret: &Secret) -> Result<(), KeyError> {
        let bytes = secret.reveal().as_bytes();
        if bytes.len() < MIN_SECRET {
            return Err(KeyError::new(self.setting, file, KeyErrorKind::TooShort(bytes.len())));
        }
        self.add(id, DecodingKey::from_secret(bytes), Algorithm::HS256, bytes);
        Ok(())
    }

    /// Every public key of a PEM file.
    fn public_keys(&mut self, id: Option<&str>, file: &Path) -> Result<(), KeyError> {
        let text = std::fs::read_to_string(file).map_err(|error| self.error(file, KeyErrorKind::Unreadable(error)))?;
        if text.contains("PRIVATE KEY") {
            return Err(self.error(file, KeyErrorKind::PrivateKey));
        }
        let mut begins: Vec<usize> = text.match_indices("-----BEGIN ").map(|(at, _)| at).collect();
        begins.push(text.len());
        let keys: Option<Vec<_>> =
            begins.windows(2).map(|block| public_key(&text.as_bytes()[block[0]..block[1]])).collect();
        let keys = keys.filter(|keys| !keys.is_empty()).ok_or_else(|| self.error(file, KeyErrorKind::NoPublicKey))?;
        for (key, algorithm) in keys {
            self.add(id, key, algorithm, text.as_bytes());
        }
        Ok(())
    }

    fn add(&mut self, id: Option<&str>, decoding: DecodingKey, algorithm: Algorithm, read: &[u8]) {
        (id, read).hash(&mut self.hasher);
        self.keys.push(Key { id: id.map(Box::from), decoding, validation: self.validation(algorithm) });
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let ClaimRules { issuer, audience, leeway } = self.rules;
        let mut validation = Validation::new(algorithm);
        let mut required = vec!["exp", "sub"];
        required.extend(issuer.as_ref().map(|_| "iss"));
        required.extend(audience.as_ref().map(|_| "aud"));
        validation.set_required_spec_claims(&required);
        validation.leeway = leeway.as_secs();
        // Checked by `KeyRing::identity`, which reports it as an error of its own.
        validation.validate_exp = false;
        validation.validate_nbf = true;
        validation.iss = issuer.clone().map(|issuer| [issuer].into());
        validation.aud = audience.clone().map(|audience| [audience].into());
        // Without a configured audience, a token that names one is accepted.
        validation.validate_aud = audience.is_some();
        validation
    }
}

/// A public key in PEM, with the algorithm that belongs to it.
fn public_key(pem: &[u8]) -> Option<(DecodingKey, Algorithm)> {
    /// Bytes of the point of a P-256 key. Keys of other curves would be accepted and then verify no token.
    const P256_POINT: usize = 65;
    /// Bytes of an RSA modulus of 2048 bits, the minimum of RFC 7518 section 3.3.
    const RSA_2048: usize = 256;
    let rsa = DecodingKey::from_rsa_pem(pem).map(|key| (key, Algorithm::RS256));
    let ec = |_| DecodingKey::from_ec_pem(pem).map(|key| (key, Algorithm::ES256));
    let ed = |_| DecodingKey::from_ed_pem(pem).map(|key| (key, Algorithm::EdDSA));
    let (key, algorithm) = rsa.or_else(ec).or_else(ed).ok()?;
    let bytes = key.try_get_as_bytes().map_or(0, <[u8]>::len);
    let fits = match algorithm {
        Algorithm::ES256 => bytes == P256_POINT,
        Algorithm::RS256 => bytes > RSA_2048,
        _ => true,
    };
    fits.then_some((key, algorithm))
}
