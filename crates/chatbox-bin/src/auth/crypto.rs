//! The signature algorithms of [`jsonwebtoken`], backed by `ring`, which TLS brings anyway: one library of cryptography in the program.

#[cfg(test)]
mod tests;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaEncoding, RsaKeyPair, RsaParameters};
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use ring::{hmac, signature};

static RING: CryptoProvider =
    CryptoProvider { signer_factory, verifier_factory, key_utils: KeyUtils::new_unimplemented() };

/// Makes `ring` the cryptography of [`jsonwebtoken`] in this process, unless another provider is installed already.
///
/// The service calls it before it reads the first key. A program that embeds the service and uses `jsonwebtoken` itself may call it, too, or
/// install a provider of its own first: every algorithm of a JWT is there, the functions for JWKs are not.
pub fn install_jwt_crypto() {
    // The error is the provider that was installed before: it stays.
    let _ = RING.install_default();
}

/// One algorithm of RFC 7518 section 3, as `ring` names its parts.
enum Scheme {
    Hmac(hmac::Algorithm),
    Rsa(&'static dyn RsaEncoding, &'static RsaParameters),
    Ecdsa(&'static EcdsaSigningAlgorithm, &'static dyn VerificationAlgorithm),
    Ed25519,
}

impl Scheme {
    /// # Errors
    /// For an algorithm that a newer `jsonwebtoken` has and this does not.
    fn of(algorithm: Algorithm) -> Result<Self> {
        use signature as s;
        Ok(match algorithm {
            Algorithm::HS256 => Self::Hmac(hmac::HMAC_SHA256),
            Algorithm::HS384 => Self::Hmac(hmac::HMAC_SHA384),
            Algorithm::HS512 => Self::Hmac(hmac::HMAC_SHA512),
            Algorithm::RS256 => Self::Rsa(&s::RSA_PKCS1_SHA256, &s::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::RS384 => Self::Rsa(&s::RSA_PKCS1_SHA384, &s::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::RS512 => Self::Rsa(&s::RSA_PKCS1_SHA512, &s::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::PS256 => Self::Rsa(&s::RSA_PSS_SHA256, &s::RSA_PSS_2048_8192_SHA256),
            Algorithm::PS384 => Self::Rsa(&s::RSA_PSS_SHA384, &s::RSA_PSS_2048_8192_SHA384),
            Algorithm::PS512 => Self::Rsa(&s::RSA_PSS_SHA512, &s::RSA_PSS_2048_8192_SHA512),
            Algorithm::ES256 => Self::Ecdsa(&s::ECDSA_P256_SHA256_FIXED_SIGNING, &s::ECDSA_P256_SHA256_FIXED),
            Algorithm::ES384 => Self::Ecdsa(&s::ECDSA_P384_SHA384_FIXED_SIGNING, &s::ECDSA_P384_SHA384_FIXED),
            Algorithm::EdDSA => Self::Ed25519,
            _ => return Err(ErrorKind::InvalidAlgorithm.into()),
        })
    }
}

/// Signs with a private key, or with a secret, that was parsed once.
struct RingSigner {
    algorithm: Algorithm,
    key: SigningKey,
}

enum SigningKey {
    Hmac(hmac::Key),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

fn signer_factory(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let bytes = key.as_bytes();
    let key = match Scheme::of(*algorithm)? {
        Scheme::Hmac(hash) => SigningKey::Hmac(hmac::Key::new(hash, bytes)),
        Scheme::Rsa(encoding, _) => {
            let pair = RsaKeyPair::from_der(bytes).map_err(|error| ErrorKind::InvalidRsaKey(error.to_string()))?;
            SigningKey::Rsa(pair, encoding)
        }
        Scheme::Ecdsa(signing, _) => {
            let pair = EcdsaKeyPair::from_pkcs8(signing, bytes, &SystemRandom::new());
            SigningKey::Ecdsa(pair.map_err(|_| ErrorKind::InvalidEcdsaKey)?)
        }
        // OpenSSL writes keys without their public half, which the stricter function wants.
        Scheme::Ed25519 => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes);
            SigningKey::Ed25519(pair.map_err(|_| ErrorKind::InvalidEddsaKey)?)
        }
    };
    Ok(Box::new(RingSigner { algorithm: *algorithm, key }))
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, SignatureError> {
        let random = SystemRandom::new();
        match &self.key {
            SigningKey::Hmac(key) => Ok(hmac::sign(key, message).as_ref().to_vec()),
            SigningKey::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).map_err(|_| SignatureError::new())?;
                Ok(signature)
            }
            SigningKey::Ecdsa(pair) => {
                Ok(pair.sign(&random, message).map_err(|_| SignatureError::new())?.as_ref().to_vec())
            }
            SigningKey::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Checks signatures against a public key, or a secret.
struct RingVerifier {
    algorithm: Algorithm,
    scheme: Scheme,
    key: DecodingKey,
}

fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, scheme: Scheme::of(*algorithm)?, key: key.clone() }))
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), SignatureError> {
        let public = |scheme: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(scheme, key).verify(message, signature)
        };
        let verified = match (&self.scheme, self.key.kind()) {
            (Scheme::Hmac(hash), DecodingKeyKind::SecretOrDer(key)) => {
                hmac::verify(&hmac::Key::new(*hash, key), message, signature)
            }
            (Scheme::Rsa(_, parameters), DecodingKeyKind::SecretOrDer(key)) => public(*parameters, key),
            (Scheme::Rsa(_, parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Scheme::Ecdsa(_, scheme), DecodingKeyKind::SecretOrDer(key)) => public(*scheme, key),
            (Scheme::Ed25519, DecodingKeyKind::SecretOrDer(key)) => public(&signature::ED25519, key),
            (_, DecodingKeyKind::RsaModulusExponent { .. }) => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
