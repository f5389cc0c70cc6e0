//! What tokens are checked against: keys from settings and files, read anew when the files change.

use super::Claims;
use crate::config::Secret;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// An HS256 key shorter than the hash it makes can be guessed (RFC 7518 section 3.2).
const MIN_SECRET: usize = 32;

/// The most keys at once: a token that names none is tried with each.
const MAX_KEYS: usize = 32;

/// How often the key files are looked at. Comparing what they hold, not when they were written, also sees through the links
/// by which Kubernetes replaces the files of a Secret.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is asked of every token beside its signature.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClaimRules {
    /// The `iss` that a token must have.
    pub(crate) issuer: Option<String>,
    /// What a token's `aud` must name.
    pub(crate) audience: Option<String>,
    /// How far the clocks of the issuer and this machine may differ where `nbf` and `iat` are concerned.
    pub(crate) leeway: Duration,
}

/// Where keys come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) secret: Option<Secret>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) public_key_file: Option<PathBuf>,
    pub(crate) dir: Option<PathBuf>,
}

/// What is wrong with a key: the setting at fault, and a line for the operator that holds nothing of the key.
pub(crate) type KeyFault = (&'static str, String);

/// The keys of now, and the way to read them anew.
pub(crate) struct KeyRing {
    sources: Sources,
    rules: ClaimRules,
    keys: RwLock<Arc<Keys>>,
    asked: Arc<Notify>,
}

struct Keys {
    keys: Vec<Key>,
    /// Of everything that was read: the same means that nothing has changed.
    fingerprint: u64,
}

struct Key {
    /// The `kid` by which tokens name it.
    id: Option<Box<str>>,
    decoding: DecodingKey,
    validation: Validation,
}

impl KeyRing {
    /// Reads the keys that are configured; `None` when there is none.
    ///
    /// # Errors
    /// The first key that cannot be used.
    pub(crate) fn load(sources: Sources, rules: ClaimRules) -> Result<Option<Self>, KeyFault> {
        let keys = sources.read(&rules)?;
        let configured = !keys.keys.is_empty();
        Ok(configured.then(|| Self { sources, rules, keys: RwLock::new(Arc::new(keys)), asked: Arc::default() }))
    }

    pub(super) fn leeway(&self) -> Duration {
        self.rules.leeway
    }

    /// What a token says, if it was signed with one of the keys and keeps to the rules.
    ///
    /// The algorithm belongs to the key: what the token says of itself has to match it and decides nothing. A `kid` that names a
    /// key leaves only that one; another one leaves those without a name, for issuers that name theirs.
    pub(super) fn claims(&self, token: &str) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        // RFC 7515 section 4.1.11: there is nothing that we understand beyond what every token has.
        if header.crit.is_some() {
            return None;
        }
        let ring = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let named = header.kid.as_deref().filter(|kid| ring.keys.iter().any(|key| key.id.as_deref() == Some(*kid)));
        let fits = |key: &&Key| header.kid.is_none() || key.id.as_deref() == named;
        ring.keys.iter().filter(fits).find_map(|key| {
            jsonwebtoken::decode::<Claims>(token, &key.decoding, &key.validation).ok().map(|token| token.claims)
        })
    }

    /// Whether any key comes from a file, so that there is something to read anew.
    pub(crate) fn has_files(&self) -> bool {
        let Sources { secret: _, secret_file, public_key_file, dir } = &self.sources;
        secret_file.is_some() || public_key_file.is_some() || dir.is_some()
    }

    /// Has [`follow`](Self::follow) look at the files now, and say what it found.
    pub(crate) fn ask_for_reload(&self) {
        self.asked.notify_one();
    }

    /// Reads the files anew every few seconds and when asked to, as long as anybody holds the ring. What cannot be used leaves the keys as
    /// they are, and is logged once.
    pub(crate) async fn follow(self: Arc<Self>) {
        let (ring, asked) = (Arc::downgrade(&self), Arc::clone(&self.asked));
        drop(self);
        let mut interval = tokio::time::interval(LOOK_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complaint = None;
        loop {
            let told = tokio::select! {
                _ = interval.tick() => false,
                () = asked.notified() => true,
            };
            let Some(ring) = ring.upgrade() else { return };
            // Only a panic makes the task fail, and there is none to repeat.
            let Ok(read) = tokio::task::spawn_blocking(move || ring.reload()).await else { return };
            match read {
                Ok(changed) => {
                    complaint = None;
                    if changed {
                        tracing::info!("Token keys were read anew");
                    } else if told {
                        tracing::info!("Token keys were read anew: nothing has changed");
                    }
                }
                Err((_, error)) if told || complaint.as_ref() != Some(&error) => {
                    tracing::error!(error, "Cannot use the new token keys; those of before stay in use");
                    complaint = Some(error);
                }
                Err(_) => {}
            }
        }
    }

    /// Reads everything anew; says whether anything has changed.
    fn reload(&self) -> Result<bool, KeyFault> {
        let keys = self.sources.read(&self.rules)?;
        let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.fingerprint != keys.fingerprint;
        if changed {
            *current = Arc::new(keys);
        }
        Ok(changed)
    }
}

impl Sources {
    fn read(&self, rules: &ClaimRules) -> Result<Keys, KeyFault> {
        let mut reader = Reader { rules, keys: Vec::new(), hasher: DefaultHasher::new() };
        if let Some(secret) = &self.secret {
            reader.secret("auth.jwt_secret", None, None, secret)?;
        }
        if let Some(file) = &self.secret_file {
            reader.secret_file("auth.jwt_secret_file", None, file)?;
        }
        if let Some(file) = &self.public_key_file {
            reader.public_keys("auth.jwt_public_key_file", None, file)?;
        }
        if let Some(dir) = &self.dir {
            let setting = "auth.jwt_keys_dir";
            reader.dir(setting, dir)?;
            // Not the same as a service that asks for no tokens.
            if reader.keys.is_empty() {
                return Err((setting, format!("{setting}: {} holds no key", dir.display())));
            }
        }
        Ok(Keys { fingerprint: reader.hasher.finish(), keys: reader.keys })
    }
}

/// Collects keys.
struct Reader<'a> {
    rules: &'a ClaimRules,
    keys: Vec<Key>,
    hasher: DefaultHasher,
}

impl Reader<'_> {
    /// The files of a directory, each named after its key: `KID.pem` a public key, `KID.secret` an HS256 key.
    fn dir(&mut self, setting: &'static str, dir: &Path) -> Result<(), KeyFault> {
        let unreadable = |error| (setting, format!("{setting}: cannot read {}: {error}", dir.display()));
        let entries = std::fs::read_dir(dir).map_err(unreadable)?;
        let mut files: Vec<PathBuf> =
            entries.map(|entry| Ok(entry?.path())).collect::<Result<_, _>>().map_err(unreadable)?;
        files.sort();
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match name.rsplit_once('.') {
                // Kubernetes keeps its own links there, under names that begin with a dot.
                _ if name.starts_with('.') => {}
                Some((kid, "pem")) => self.public_keys(setting, Some(kid), &file)?,
                Some((kid, "secret")) => self.secret_file(setting, Some(kid), &file)?,
                _ => {
                    let text = "is named neither KID.pem nor KID.secret";
                    return Err((setting, format!("{setting}: {} {text}", file.display())));
                }
            }
        }
        if self.keys.len() > MAX_KEYS {
            let text = format!("{setting}: {} holds more than {MAX_KEYS} keys", dir.display());
            return Err((setting, text));
        }
        Ok(())
    }

    fn secret_file(&mut self, setting: &'static str, id: Option<&str>, file: &Path) -> Result<(), KeyFault> {
        let secret = Secret::read(file)
            .map_err(|error| (setting, format!("{setting}: cannot read {}: {error}", file.display())))?;
        self.secret(setting, id, Some(file), &secret)
    }

    fn secret(
        &mut self,
        setting: &'static str,
        id: Option<&str>,
        file: Option<&Path>,
        secret: &Secret,
    ) -> Result<(), KeyFault> {
        let bytes = secret.reveal().as_bytes();
        if bytes.len() < MIN_SECRET {
            let file = file.map(|file| format!("{} ", file.display())).unwrap_or_default();
            let text = format!("{setting}: {file}has {} bytes, at least {MIN_SECRET} are needed", bytes.len());
            return Err((setting, text));
        }
        self.add(id, DecodingKey::from_secret(bytes), Algorithm::HS256, bytes);
        Ok(())
    }

    /// Every public key of a PEM file.
    fn public_keys(&mut self, setting: &'static str, id: Option<&str>, file: &Path) -> Result<(), KeyFault> {
        let fault = |text: fmt::Arguments<'_>| (setting, format!("{setting}: {text}"));
        let text = std::fs::read_to_string(file)
            .map_err(|error| fault(format_args!("cannot read {}: {error}", file.display())))?;
        let mut begins: Vec<usize> = text.match_indices("-----BEGIN ").map(|(at, _)| at).collect();
        begins.push(text.len());
        if text.contains("PRIVATE KEY") {
            return Err(fault(format_args!("{}: holds a private key; the public one is wanted", file.display())));
        }
        let keys: Option<Vec<_>> =
            begins.windows(2).map(|block| public_key(&text.as_bytes()[block[0]..block[1]])).collect();
        let keys = keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
            fault(format_args!(
                "{}: no public key in PEM for RS256 (2048 bits or more), ES256 or EdDSA",
                file.display()
            ))
        })?;
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
        // `KeyRing::identity` looks at it, because it has to say so.
        validation.validate_exp = false;
        validation.validate_nbf = true;
        validation.iss = issuer.clone().map(|issuer| [issuer].into());
        validation.aud = audience.clone().map(|audience| [audience].into());
        // While no audience is configured, a token that names some is not refused for it.
        validation.validate_aud = audience.is_some();
        validation
    }
}

/// A public key in PEM, with the algorithm that goes with it.
fn public_key(pem: &[u8]) -> Option<(DecodingKey, Algorithm)> {
    /// Bytes of the point of a P-256 key; those of other curves would be taken and then fit no token.
    const P256_POINT: usize = 65;
    /// Bytes of an RSA modulus of 2048 bits, the least that RFC 7518 section 3.3 allows.
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

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).keys.len();
        f.debug_struct("KeyRing").field("sources", &self.sources).field("keys", &keys).finish_non_exhaustive()
    }
}
