//! The examples of the RFCs are verified, and what was signed here is verified only unchanged and under its own algorithm.

use super::install_jwt_crypto;
use jsonwebtoken::crypto::{sign, verify};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// The payload of the examples in RFC 7515 appendix A.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn the_examples_of_the_rfcs_are_verified() {
    install_jwt_crypto();
    // A JWT's alphabet of base64 is not the one of `from_base64_secret`.
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow==";
    let examples = [
        // RFC 7515 appendix A.1.
        (
            Algorithm::HS256,
            DecodingKey::from_base64_secret(secret),
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}"),
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
        // RFC 7515 appendix A.3.
        (
            Algorithm::ES256,
            DecodingKey::from_ec_components(
                "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            ),
            format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        // RFC 8037 appendix A.5.
        (
            Algorithm::EdDSA,
            DecodingKey::from_ed_components("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];
    for (algorithm, key, message, signature) in examples {
        let key = key.unwrap();
        assert!(verify(signature, message.as_bytes(), &key, algorithm).unwrap(), "{algorithm:?}");
        assert!(!verify(signature, &message.as_bytes()[1..], &key, algorithm).unwrap(), "{algorithm:?}");
    }
}

#[test]
fn a_signature_holds_for_its_message_and_algorithm_only() {
    install_jwt_crypto();
    let random = SystemRandom::new();
    let secret = || (EncodingKey::from_secret(b"secret"), DecodingKey::from_secret(b"secret"));
    let ec = |curve| {
        let private = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
        let public = EcdsaKeyPair::from_pkcs8(curve, private.as_ref(), &random).unwrap();
        (EncodingKey::from_ec_der(private.as_ref()), DecodingKey::from_ec_der(public.public_key().as_ref()))
    };
    let private = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let public = Ed25519KeyPair::from_pkcs8(private.as_ref()).unwrap();
    let ed = (EncodingKey::from_ed_der(private.as_ref()), DecodingKey::from_ed_der(public.public_key().as_ref()));
    let schemes = [
        (Algorithm::HS256, secret()),
        (Algorithm::HS384, secret()),
        (Algorithm::HS512, secret()),
        (Algorithm::ES256, ec(&ECDSA_P256_SHA256_FIXED_SIGNING)),
        (Algorithm::ES384, ec(&ECDSA_P384_SHA384_FIXED_SIGNING)),
        (Algorithm::EdDSA, ed),
    ];
    for (algorithm, (private, public)) in &schemes {
        let signature = sign(b"message", private, *algorithm).unwrap();
        for (other, _) in &schemes {
            let verified = verify(&signature, b"message", public, *other).unwrap_or(false);
            assert_eq!(verified, other == algorithm, "signed with {algorithm:?}, verified with {other:?}");
        }
        assert!(!verify(&signature, b"massage", public, *algorithm).unwrap(), "{algorithm:?}");
        assert!(!verify("AAAA", b"message", public, *algorithm).unwrap(), "{algorithm:?}");
    }
}
