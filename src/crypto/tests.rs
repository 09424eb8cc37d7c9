//! The vectors that four independent implementations agree on.

use sha2::{Digest, Sha256};

use super::*;

const M1: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                  abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                  abandon art";
const M2: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const P: &[u8] = b"The quick brown fox jumps over the lazy dog";

struct Vector {
    mnemonic: &'static str,
    bucket: &'static str,
    index: &'static str,
    seed: &'static str,
    bucket_key: &'static str,
    file_key: &'static str,
    ct: &'static str,
    hash: &'static str,
    hmac_key: &'static str,
    hmac: &'static str,
    big_sha: &'static str,
    big_hash: &'static str,
    big_first: &'static str,
    big_at: &'static str,
}

/// The third one's counter wraps.
const VECTORS: [Vector; 3] = [
    Vector {
        mnemonic: M1,
        bucket: "651300a2da9b27001f63f384",
        index: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        seed: "408b285c123836004f4b8842c89324c1f01382450c0d439af345ba7fc49acf705489c6fc77dbd4e3dc1dd8cc6bc9f043db8ada1e243c4a0eafb290d399480840",
        bucket_key: "eb9024ff507f82bc03780a117783aaa877b6438b35f7d997a4f8ee4da30074ba3193ab77a286007eec1060f7ec1972adfaf66da50491fed017e5e33b707adada",
        file_key: "35cc6f72c7fc922850cbb3ec21a820f1152ddc5cfb31d8c5b893449f239758d7",
        ct: "650e99d1d70da22f82602f14ab537448e05f03afbd0481d59dca9da7fa0b2afea67594822bc513365b236e",
        hash: "7a8128d62f3db5dcb121cd67d57c6fa34356a62b",
        hmac_key: "11ef5c4616431e7900d563d4699497a65faa48dc031631f506e4620f83d92ac9910ae2f6e5e76f6d05d480a50a4b43de7d6d46f19e94e2f36f39b934c2aa44ac",
        hmac: "2ad60b9dc31c9a4f07436b96caf963167fbf964c4476a522b46cb92be3009be7d1e2a9331b3f0d003a213d37872f41c94bb41e3679dc857e7e9b664af985d167",
        big_sha: "a3d8afc8b9d923e59274fbb8a6dac8d237d22645c54b311574e016fb9d16abe3",
        big_hash: "4e5566fd737eedf51777135bcd390738f5fc1859",
        big_first: "3640b99525da0aac165e703abfbea3b0",
        big_at: "afdbd31f24204fe3292c54deb3832098",
    },
    Vector {
        mnemonic: M2,
        bucket: "0123456789abcdef01234567",
        index: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        seed: "878386efb78845b3355bd15ea4d39ef97d179cb712b77d5c12b6be415fffeffe5f377ba02bf3f8544ab800b955e51fbff09828f682052a20faa6addbbddfb096",
        bucket_key: "daaa4add77408fa19ccd2c94a22048e11d922750f0a2b2023f319572cf08bb7f8b19cd38523d93fb4f853e733ced986b9a21cc20fd634c73acc975a30b927486",
        file_key: "b1c7654755d46c8f15ad8f0f0ed82f018a6b889846e51f851e7b3abd6e967251",
        ct: "32081bb1d1ed513fd4533e881648ea1d08b4e7cfebfa6e8e65f1f276cdcbae57f29db2d6ee1d1a710cabbe",
        hash: "f76c9f540c6e51610282d0a9a3c330f0a65ce9e0",
        hmac_key: "77a299502d49223b3ecaa112d5b2a1ba56fa0e11cf2a55fe33e5e32de71671b8de43ef3d79bb363f1a32ece571635c1a76f58c015b0e5aef85b6b8c1d8ec120d",
        hmac: "239a9641b5b8e59061ec1faa9660980e4c0627e4f1e1d515affb8bafd612ca74dec9b9e6047bb4db106643882e0cab148eed6400382a874bd5a26a4a83bdc6a7",
        big_sha: "17a92e89462c9012ec8b4a69e0559d569c435410b249660a9cb9efd2b03898b7",
        big_hash: "a42a5726c8c22076023c53807c52189438bebdc5",
        big_first: "61463bf5233af9bc406d61a602a53de5",
        big_at: "6609741875f7213052e16c5e816376ad",
    },
    Vector {
        mnemonic: M1,
        bucket: "0123456789abcdef01234567",
        index: "fffffffffffffffffffffffffffffffe00000000000000000000000000000000",
        seed: "408b285c123836004f4b8842c89324c1f01382450c0d439af345ba7fc49acf705489c6fc77dbd4e3dc1dd8cc6bc9f043db8ada1e243c4a0eafb290d399480840",
        bucket_key: "c4b566d91ea40b5f798236758ba58f934ab3563ead560bd16a96104c1ae4c5e2638f09897f666b754902902ab1bbbad5d71a6f70ab5fd55b85bf35818d3c7394",
        file_key: "e0c577c827ab26c2f80124c8779d49d6a882836e859b20bde87e6165ebe610e6",
        ct: "4f4f7ffb32a2c02ddd5f38744f620f7eb74038c2d58c30a97a1a1e1e384104e2aa30342b358b6f1c4272fc",
        hash: "9817a19d770ebebfbef1d13c38f58ef9c4dbc3fe",
        hmac_key: "ca9d53a4b04c645f60230fe16df3e31c85e7c3897db8c8eb39b46d07683b82d2762ebda5a961ff5855f656f44c989d2b7728fd351cfd43ce56abcfe89ccbb642",
        hmac: "3b0359003e29ff253f3a037fd02547e198656d8fca33d2bffc1c32e88a7c5dafffdfc2d778b674f0c2385b7093986370a0670c8b8633b006fa2a6e457f12b0ec",
        big_sha: "3518ee795b80494b6302790ba8511212120d69148a966f9ce40134a55b949219",
        big_hash: "0a84e670dc8321a78af56eddae09f784286761a9",
        big_first: "1c015fbfc07568ae4961675a5b8fd886",
        big_at: "0b9037129563dbbd50e91ce5fbdf5755",
    },
];

fn big() -> Vec<u8> {
    (0..100_000u32).map(|k| u8::try_from((31 * k + 7) & 0xff).unwrap()).collect()
}

fn hash_of(bytes: &[u8]) -> [u8; 20] {
    let mut hasher = ContentHasher::default();
    hasher.update(bytes);
    hasher.finish()
}

#[test]
fn keys_ciphertexts_hashes_and_codes_match_the_vectors() {
    for v in &VECTORS {
        let seed = Mnemonic::parse(v.mnemonic).unwrap().seed();
        assert_eq!(hex::encode(seed.as_ref()), v.seed);
        let bucket = BucketKey::derive(&seed, v.bucket).unwrap();
        assert_eq!(hex::encode(bucket.bytes()), v.bucket_key);
        let key = bucket.file_key(&Index::from_hex(v.index).unwrap());
        assert_eq!(hex::encode(key.key), v.file_key);

        let mut text = P.to_vec();
        Cipher::at(&key, 0).apply(&mut text);
        assert_eq!(hex::encode(&text), v.ct);
        let hash = hash_of(&text);
        assert_eq!(hex::encode(hash), v.hash);
        assert_eq!(hex::encode(content::hmac_key_for_tests(&key).as_ref()), v.hmac_key);
        let code = content::hmac(&key, &hash);
        assert_eq!(hex::encode(code), v.hmac);
        assert!(content::same_code(&code, &hex::decode(v.hmac).unwrap()));
        assert!(!content::same_code(&code, &code[..63]));
        Cipher::at(&key, 0).apply(&mut text);
        assert_eq!(text, P);
    }
}

#[test]
fn the_cipher_seeks_to_any_byte_and_wraps() {
    let plain = big();
    assert_eq!(
        hex::encode(Sha256::digest(&plain)),
        "731620161155f68e1209f22bc34a726bf5a583f40acf23ae55684b674fdbebf2"
    );
    for v in &VECTORS {
        let seed = Mnemonic::parse(v.mnemonic).unwrap().seed();
        let key = BucketKey::derive(&seed, v.bucket).unwrap().file_key(&Index::from_hex(v.index).unwrap());
        let mut whole = plain.clone();
        Cipher::at(&key, 0).apply(&mut whole);
        assert_eq!(hex::encode(Sha256::digest(&whole)), v.big_sha);
        assert_eq!(hex::encode(hash_of(&whole)), v.big_hash);
        assert_eq!(hex::encode(&whole[..16]), v.big_first);
        for at in [0usize, 1, 15, 16, 17, 31, 32, 50_007, 99_999] {
            let mut part = plain[at..].to_vec();
            Cipher::at(&key, at as u64).apply(&mut part);
            assert_eq!(part, &whole[at..], "from {at}");
        }
        assert_eq!(hex::encode(&whole[50_007..50_023]), v.big_at);
    }
}

#[test]
fn an_index_hashed_as_hex_text_would_give_the_known_wrong_key() {
    let seed = Mnemonic::parse(M1).unwrap().seed();
    let bucket = BucketKey::derive(&seed, VECTORS[0].bucket).unwrap();
    let wrong = sha2::Sha512::new()
        .chain_update(&bucket.bytes()[..32])
        .chain_update(VECTORS[0].index.as_bytes())
        .finalize();
    let known = "a7384f57f22c1c2de5e4238c096729af666140f24d7958f3f6e9ee5a8dc8f5e5";
    assert_eq!(hex::encode(&wrong[..32]), known);
    let ours = bucket.file_key(&Index::from_hex(VECTORS[0].index).unwrap());
    assert_ne!(hex::encode(ours.key), known);
}

#[test]
fn the_hash_alone_matches_the_vectors() {
    let cases: [(&[u8], &str); 3] = [
        (b"", "b472a266d0bd89c13706a4132ccfb16f7c3b9fcb"),
        (b"a", "994355199e516ff76c4fa4aab39337b9d84cf12b"),
        (P, "0e3397b4abc7a382b3ea2365883c3c7ca5f07600"),
    ];
    for (text, hash) in cases {
        assert_eq!(hex::encode(hash_of(text)), hash);
    }
}

struct Login {
    password: &'static str,
    salt: &'static str,
    hash: &'static str,
    s_key: &'static str,
    field: &'static str,
    mnemonic: &'static str,
    mnemonic_key_iv: &'static str,
}

const LOGINS: [Login; 2] = [
    Login {
        password: "correct horse battery staple",
        salt: "000102030405060708090a0b0c0d0e0f",
        hash: "02cc1c4e3a0465ed63b1250fd4b32335fa4fd9af7544b0c76ca6267bc6932935",
        s_key: "53616c7465645f5f0011223344556677517d0078a23ff984e50a6ccc0fa515849d3bec43bd35361e6000da97ee14c7e23cbf54dbd704880b1674f1b802a17449",
        field: "53616c7465645f5f001122334455667790d108bfe829d028b74b1b300ecbe5d5d698e4630026ac4735e272fc3509f569a206fcd4589aa9aea8d3bc47cd73958f623555339a2d2334898331976e1bea4d0388ae1b019e6675cd3f567dc11a81c3",
        mnemonic: "53616c7465645f5f0011223344556677daea8eda9372c652a16613c6d588c95fb659c1178bd754d86537733690875d2e7e69c8133d64c9f3796a04b21fd8114ef03cb150ed16f8d420214552bf1ebdc1bd290e2a166c07bbcb6ac49a44cbca0f",
        mnemonic_key_iv: "99dec7b661251b5cc5c2102fba7f338c6cb249c8045b6e618937366cefa6e63f885976da3b1a1c9d5de7ace460671a6e",
    },
    Login {
        password: "pässwörd€漢",
        salt: "a1b2c3d4e5f60718293a4b5c6d7e8f90",
        hash: "5b7ee9fc9791a4e84bb05f1fc69fddfe8a8212dd7f6b04748b924bc1458a25da",
        s_key: "53616c7465645f5f00112233445566775e0060cbbe951173af31c6c5a199ce10d62eac44002dd18fab4f52258b5e7ec3a5caeececeab40a73d223e3d19f616c5",
        field: "53616c7465645f5f00112233445566773f30711ca41017bb7d311c51e8bfcfbba5650997df7aa1d05728986427594dc6afaa11b416c105e417193f9bb7973cc3aebe3984c46aec7c5fdc9e321890c5d8a2832cc34b0b3cbb75ded15cc1bb35ed",
        mnemonic: "53616c7465645f5f0011223344556677482589e2d7b6b9e11a8b2efc064289d588e41e647e138981ede4951b40d0d2059952b1e79e3c073fa6e2b62e702094016386aab0184543fccea9aec92a13c197fe5b67b3cf75da69271f870f7b83a514",
        mnemonic_key_iv: "a87f239f97a630c35cd4a397c702bbc3660b8362ee67517ee3e041b46f55e6a7fcfb17258fabcdac33c305ad33362edb",
    },
];
const SALT: [u8; 8] = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77];

#[test]
fn envelopes_and_password_hashes_match_the_vectors() {
    assert_eq!(
        hex::encode(envelope::key_iv_for_tests(envelope::app_secret(), &SALT).as_ref()),
        "16afd9ff64c3adc6f0d1ee07eee8c685123dea3e53fede28aa2b534d3e18a503f3cd9355fce737fa1fcfc38014d80476"
    );
    for v in &LOGINS {
        let secret = envelope::app_secret();
        assert_eq!(envelope::seal_with_salt(v.salt, secret, &SALT).unwrap(), v.s_key);
        assert_eq!(envelope::open(v.s_key, secret).unwrap().as_str(), v.salt);
        let hash = envelope::password_hash(v.password, v.s_key).unwrap();
        assert_eq!(hash.as_str(), v.hash);
        assert_eq!(envelope::seal_with_salt(&hash, secret, &SALT).unwrap(), v.field);
        let field = envelope::password_field(v.password, v.s_key).unwrap();
        assert_eq!(field.len(), 192);
        assert_eq!(envelope::open(&field, secret).unwrap().as_str(), v.hash);
        let pass = v.password.as_bytes();
        assert_eq!(hex::encode(envelope::key_iv_for_tests(pass, &SALT).as_ref()), v.mnemonic_key_iv);
        assert_eq!(envelope::open(v.mnemonic, pass).unwrap().as_str(), M2);
        assert_eq!(envelope::seal_with_salt(M2, pass, &SALT).unwrap(), v.mnemonic);
    }
}

#[test]
fn envelopes_that_do_not_open_say_so() {
    let good = LOGINS[0].mnemonic;
    assert_eq!(envelope::open(good, b"another").map(|_| ()), Err(Error::Envelope));
    for bad in ["", "zz", &good[..30], &good[..good.len() - 2], &good.replace("53616c", "00616c")] {
        assert_eq!(envelope::open(bad, LOGINS[0].password.as_bytes()).map(|_| ()), Err(Error::Envelope));
    }
}

#[test]
fn mnemonics_are_read_tolerantly_and_refused_precisely() {
    let exact = Mnemonic::parse(M2).unwrap();
    let sloppy = M2.to_uppercase().replace(' ', "\u{3000}\r\n\t ");
    assert_eq!(Mnemonic::parse(&sloppy).unwrap(), exact);
    assert_eq!(exact.phrase().as_str(), M2);
    assert_eq!(Mnemonic::parse(&M2.replace("wave", "waev")), Err(Error::UnknownWord(5)));
    assert_eq!(Mnemonic::parse(&M2.replace("yellow", "year")), Err(Error::Checksum));
    assert_eq!(Mnemonic::parse("legal winner"), Err(Error::WordCount(2)));
    assert!(!format!("{exact:?}").contains("legal"));
    assert!(!Error::UnknownWord(5).to_string().contains("waev"));
}

#[test]
fn both_backup_key_formats_are_read_and_others_refused() {
    let expected = Mnemonic::parse(M1).unwrap();
    assert_eq!(parse_backup_key(&format!("\u{feff}{M1}\n")).unwrap(), expected);
    let json = serde_json::json!({"mnemonic": M1, "privateKey": "x", "keys": {"ecc": "e", "kyber": "k"}});
    assert_eq!(parse_backup_key(&serde_json::to_string_pretty(&json).unwrap()).unwrap(), expected);
    for other in ["", "{}", "{\"mnemonic\": 5}", "hello", "%PDF-1.4 a b c d e f g h i j k l"] {
        assert_eq!(parse_backup_key(other), Err(Error::NotABackupKey), "{other:?}");
    }
    assert_eq!(parse_backup_key(&M1.replacen("abandon", "abadon", 1)), Err(Error::UnknownWord(1)));
    assert_eq!(parse_backup_key(&M1.replace("art", "abandon")), Err(Error::Checksum));
}

#[test]
fn indexes_are_fresh_and_say_nothing() {
    let (a, b) = (Index::fresh().unwrap(), Index::fresh().unwrap());
    assert_ne!(a, b);
    assert_eq!(Index::from_hex(&a.to_hex()), Ok(a));
    assert!(!format!("{a:?}").contains(&a.to_hex()[..8]));
    assert_eq!(Index::from_hex(&a.to_hex()[2..]), Err(Error::Index));
    assert_eq!(BucketKey::derive(&[0; 64], "abc").map(|_| ()), Err(Error::Bucket));
}
