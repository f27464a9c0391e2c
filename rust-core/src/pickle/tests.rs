use chrono::{NaiveDate, NaiveDateTime};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::frappe::fixtures;

const LIMITS: Limits = Limits {
    input: 64 * 1024,
    values: 10_000,
    text: 1024 * 1024,
    depth: 32,
};
const MISUSE: &str = "unexpected use of a value";

fn read(pickle: &[u8]) -> Result<Value, Unreadable> {
    super::read(pickle, LIMITS)
}

fn refused(pickle: &[u8]) -> &'static str {
    match read(pickle) {
        Err(Unreadable(why)) => why,
        Ok(_) => panic!("was read"),
    }
}

fn json_of(pickle: &[u8]) -> Result<Json, Unreadable> {
    Json::try_from(read(pickle)?)
}

fn text(s: &str) -> Value {
    Value::Str(s.to_owned())
}

#[test]
fn sessions_of_a_real_frappe_15_are_read() {
    let session = read(&fixtures::session_of_student()).unwrap();
    assert_eq!(session.get("user"), Some(&text("stu000@lab.test")));
    let data = session.get("data").unwrap();
    assert_eq!(data.get("user"), Some(&text("stu000@lab.test")));
    assert_eq!(data.get("session_expiry"), Some(&text("170:00:00")));
    assert!(data.get("full_name") == Some(&Value::None));
    assert_eq!(
        data.get("last_updated"),
        Some(&text("2026-11-23 02:42:28.235659"))
    );
    assert_eq!(data.get("csrf_token"), None);

    let with_token = read(&fixtures::session_of_admin_with_csrf()).unwrap();
    let token = with_token.get("data").unwrap().get("csrf_token");
    assert_eq!(token.unwrap().as_str().unwrap().len(), 56);
}

/// `{'a': None, 'b': [True, False, 1, -2, 300, 70000, 2**40], 'c': 1.5, 'd': 'é٣"',
/// 'e': (1,), 'f': {}, 'g': (), 'h': (1, 2, 3, 4)}` as Python 3.11 pickles it, in
/// protocols 3 to 5.
#[rustfmt::skip]
const PLAIN: [&[u8]; 3] = [
    b"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01NX\x01\x00\x00\x00bq\x02]q\x03(\x88\x89K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01eX\x01\x00\x00\x00cq\x04G?\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00dq\x05X\x05\x00\x00\x00\xc3\xa9\xd9\xa3\x22q\x06X\x01\x00\x00\x00eq\x07K\x01\x85q\x08X\x01\x00\x00\x00fq\x09}q\nX\x01\x00\x00\x00gq\x0b)X\x01\x00\x00\x00hq\x0c(K\x01K\x02K\x03K\x04tq\x0du.",
    b"\x80\x04\x95f\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94N\x8c\x01b\x94]\x94(\x88\x89K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01e\x8c\x01c\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x01d\x94\x8c\x05\xc3\xa9\xd9\xa3\x22\x94\x8c\x01e\x94K\x01\x85\x94\x8c\x01f\x94}\x94\x8c\x01g\x94)\x8c\x01h\x94(K\x01K\x02K\x03K\x04t\x94u.",
    b"\x80\x05\x95f\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94N\x8c\x01b\x94]\x94(\x88\x89K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01e\x8c\x01c\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x01d\x94\x8c\x05\xc3\xa9\xd9\xa3\x22\x94\x8c\x01e\x94K\x01\x85\x94\x8c\x01f\x94}\x94\x8c\x01g\x94)\x8c\x01h\x94(K\x01K\x02K\x03K\x04t\x94u.",
];

/// `frappe.types.frappedict._dict(user='a', data=_dict(last_updated=datetime(..)))`.
#[rustfmt::skip]
const OF_16: &[u8] = b"\x80\x05\x95\x80\x00\x00\x00\x00\x00\x00\x00\x8c\x17frappe.types.frappedict\x94\x8c\x05_dict\x94\x93\x94)\x81\x94(\x8c\x04user\x94\x8c\x01a\x94\x8c\x04data\x94h\x02)\x81\x94\x8c\x0clast_updated\x94\x8c\x08datetime\x94\x8c\x08datetime\x94\x93\x94C\n\x07\xea\x0b\x17\x02+\x15\x0c\x0b{\x94\x85\x94R\x94sh\x07buh\x03b.";

#[test]
fn plain_data_is_read() {
    let int = Value::Int;
    let expected = Value::Dict(vec![
        ("a".into(), Value::None),
        (
            "b".into(),
            Value::List(vec![
                Value::Bool(true),
                Value::Bool(false),
                int(1),
                int(-2),
                int(300),
                int(70_000),
                int(1 << 40),
            ]),
        ),
        ("c".into(), Value::Float(1.5)),
        ("d".into(), text("é٣\"")),
        ("e".into(), Value::List(vec![int(1)])),
        ("f".into(), Value::Dict(vec![])),
        ("g".into(), Value::List(vec![])),
        (
            "h".into(),
            Value::List(vec![int(1), int(2), int(3), int(4)]),
        ),
    ]);
    for pickle in PLAIN {
        assert!(read(pickle).unwrap() == expected, "{pickle:?}");
    }
    // Nobody writes protocols 0 and 1.
    for old in [&b"I1\n."[..], b"L1L\n.", b"F1.5\n.", b"Va\n.", b"Np0\n."] {
        assert_eq!(refused(old), "unknown opcode");
    }
    assert_eq!(refused(b"\x80\x06N."), "unknown protocol");
}

#[test]
fn as_json_a_datetime_is_its_text_and_bytes_and_infinity_are_none() {
    let frappe_16 = json!({"user": "a", "data": {"last_updated": "2026-11-23T02:43:21.789371"}});
    assert_eq!(json_of(OF_16).unwrap(), frappe_16);
    for bad in [
        &b"\x80\x04C\x01a."[..],
        b"\x80\x05\x96\x01\x00\x00\x00\x00\x00\x00\x00a.",
        b"\x80\x04G\x7f\xf8\x00\x00\x00\x00\x00\x00.",
    ] {
        assert!(read(bad).is_ok());
        assert!(json_of(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_list_filled_after_it_was_memoized_is_whole_wherever_it_is_used() {
    // a = []; x = (a, a); a.append(1)
    let pickle = b"\x80\x04]\x94h\x00\x86h\x00K\x01a0.";
    assert_eq!(json_of(pickle).unwrap(), json!([[1], [1]]));
}

#[test]
fn a_session_of_frappe_16_holds_a_datetime() {
    let session = read(OF_16).unwrap();
    let time = session.get("data").unwrap().get("last_updated").unwrap();
    let expected =
        NaiveDate::from_ymd_opt(2026, 11, 23).and_then(|d| d.and_hms_micro_opt(2, 43, 21, 789_371));
    assert!(*time == Value::DateTime(expected.unwrap()));
}

#[test]
fn the_last_value_of_a_repeated_key_wins() {
    let pickle = b"}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bK\x02X\x01\x00\x00\x00aK\x03u.";
    let expected = Value::Dict(vec![
        ("a".into(), Value::Int(3)),
        ("b".into(), Value::Int(2)),
    ]);
    assert!(read(pickle).unwrap() == expected);
}

#[test]
fn nothing_can_be_called() {
    let calls: [&[u8]; 8] = [
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
        b"cposix\nsystem\np0\n(Vtrue\np1\ntp2\nRp3\n.",
        b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.",
        b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94.",
        b"cbuiltins\neval\n(V1\ntR.",
        b"cfrappe\n_dict.__init__\n(tR.",
        b"cfrappe\ndestroy\n(tR.",
        b"ccopyreg\n_reconstructor\n(cfrappe\n_dict\ncbuiltins\ndict\n}tR.",
    ];
    for pickle in calls {
        assert_eq!(refused(pickle), "unknown class");
    }
}

#[test]
fn a_class_is_no_value_and_is_called_in_one_way() {
    assert_eq!(
        refused(b"\x80\x04\x8c\x08datetime\x8c\x08datetime\x93."),
        MISUSE
    );
    assert_eq!(
        refused(b"\x80\x04\x8c\x08datetime\x8c\x08datetime\x93)R."),
        MISUSE
    );
    assert_eq!(
        refused(b"\x80\x04\x8c\x08datetime\x8c\x08datetime\x93)\x81."),
        MISUSE
    );
    assert_eq!(refused(b"\x80\x04]\x8c\x01a\x85R."), MISUSE);
    assert_eq!(refused(b"cfrappe\n_dict\n."), MISUSE);
    assert_eq!(refused(b"(cfrappe\n_dict\nl."), MISUSE);
}

#[test]
fn opcodes_with_side_effects_are_unknown() {
    // EMPTY_SET, PERSID, BINPERSID, INST, OBJ, EXT1, NEWOBJ_EX, NEXT_BUFFER, Python 2
    // strings.
    let pickles: [&[u8]; 9] = [
        b"\x8f.",
        b"Pid\n.",
        b"NQ.",
        b"(iposix\nsystem\n.",
        b"(cfrappe\n_dict\no.",
        b"\x82\x01.",
        b"cfrappe\n_dict\n)}\x92.",
        b"\x97.",
        b"S'a'\n.",
    ];
    for pickle in pickles {
        assert_eq!(refused(pickle), "unknown opcode", "{pickle:?}");
    }
}

#[test]
fn state_other_than_the_object_itself_is_refused() {
    assert_eq!(refused(b"cfrappe\n_dict\n)\x81}b."), MISUSE);
    assert_eq!(refused(b"]2b."), MISUSE);
    assert!(read(b"cfrappe\n_dict\n)\x812b.").is_ok());
}

#[test]
fn a_datetime_with_a_zone_is_refused() {
    let pickle = b"cdatetime\ndatetime\n(C\x0a\x07\xea\x0b\x17\x02+\x15\x0c\x0b{NtR.";
    assert_eq!(refused(pickle), MISUSE);
}

fn datetime(state: &[u8]) -> Result<Value, Unreadable> {
    let length = [state.len() as u8];
    read(&[b"cdatetime\ndatetime\n(C", &length[..], state, b"tR."].concat())
}

#[test]
fn a_datetime_is_read_from_its_ten_bytes() {
    let time = |text: &str| Ok(Value::DateTime(text.parse::<NaiveDateTime>().unwrap()));
    // Of a real job.
    assert_eq!(
        datetime(b"\x07\xea\x0b\x18\x02,\"\x03\xc6'"),
        time("2026-11-24T02:44:34.247335")
    );
    // On the second pass of a fold.
    assert_eq!(
        datetime(b"\x07\xea\x8a\x19\x02\x1e\x00\x00\x00\x00"),
        time("2026-10-25T02:30:00")
    );
    for bad in [
        &b"\x07\xea\x0d\x18\x02,\"\x03\xc6'"[..],
        b"\x07\xea\x02\x1e\x02,\"\x03\xc6'",
        b"\x00\x00\x0b\x18\x02,\"\x03\xc6'",
        b"\x07\xea\x0b\x18\x18,\"\x03\xc6'",
        b"\x07\xea\x0b\x18\x02,\x3b\x0f\x42\x40",
        b"\x07\xea\x0b\x18\x02,\"\xff\xff\xff",
        b"\xff\xff\x0b\x18\x02,\"\x03\xc6'",
    ] {
        assert_eq!(datetime(bad), Err(Unreadable("no such time")), "{bad:?}");
    }
    for bad in [&b""[..], b"\x07\xea\x0b\x18\x02,\"\x03\xc6"] {
        assert_eq!(datetime(bad), Err(Unreadable(MISUSE)), "{bad:?}");
    }
}

#[test]
fn a_length_without_its_data_is_refused_at_once() {
    let pickles: [&[u8]; 6] = [
        b"X\xff\xff\xff\xff.",
        b"B\xff\xff\xff\xff.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x96\x00\x00\x00\x00\x00\x00\x00\x80.",
        b"\x8a\xff.",
    ];
    for pickle in pickles {
        assert_eq!(refused(pickle), "truncated");
    }
}

#[test]
fn a_memo_bomb_is_counted_before_it_explodes() {
    // Thirty lists, each holding the one before twice: 2^30 values if written out.
    let mut nested = b"]q\x00K\x01a0".to_vec();
    for level in 0..29u8 {
        nested.extend([
            b']',
            b'q',
            level + 1,
            b'(',
            b'h',
            level,
            b'h',
            level,
            b'e',
            b'0',
        ]);
    }
    nested.extend(b"h\x1d.");
    assert_eq!(refused(&nested), "too much");

    // One long string, five thousand times.
    let mut strings = b"](X\x00\x80\x00\x00".to_vec();
    strings.extend([b'a'; 0x8000]);
    strings.extend(b"q\x00");
    strings.extend(b"h\x00".repeat(5000));
    strings.extend(b"e.");
    assert_eq!(refused(&strings), "too much");
}

#[test]
fn deep_nesting_and_cycles_end() {
    let deep = [b"(".repeat(1000), b"l".repeat(1000), b".".to_vec()].concat();
    assert_eq!(refused(&deep), "too much");
    assert_eq!(refused(b"]q\x00h\x00a."), "too much");
    assert_eq!(refused(b"}q\x00(X\x01\x00\x00\x00ah\x00u."), "too much");
    let deep = [b"]".repeat(9_000), b"a".repeat(8_999), b".".to_vec()].concat();
    assert_eq!(refused(&deep), "too much");
}

#[test]
fn values_are_counted_while_they_are_made() {
    let dropped = [b"N0".repeat(LIMITS.values), b"N.".to_vec()].concat();
    assert_eq!(refused(&dropped), "too much");
}

#[test]
fn a_pickle_longer_than_any_session_is_not_looked_at() {
    assert_eq!(refused(&vec![b'N'; LIMITS.input + 1]), "too long");
}

#[test]
fn misuse_of_stack_and_memo_is_refused() {
    let pickles: [&[u8]; 18] = [
        b"",
        b"\x80",
        b".",
        b"0",
        b"1",
        b"a.",
        b"e.",
        b"Na.",
        b"NNa.",
        b"}Nu.",
        b"}(K\x01u.",
        b"(t",
        b"h\x07.",
        b"q\x00.",
        b"N(0.",
        b"N(a.",
        b"N(\x85.",
        b"N(.",
    ];
    for pickle in pickles {
        assert!(read(pickle).is_err(), "{pickle:?}");
    }
}

#[test]
fn keys_are_strings() {
    assert_eq!(refused(b"}K\x01K\x02s."), "a key that is no string");
}

#[test]
fn a_number_beyond_64_bits_is_refused() {
    assert!(read(b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01.").is_err());
    assert!(read(b"\x8a\x00.").unwrap() == Value::Int(0));
    assert!(read(b"\x8a\x01\xff.").unwrap() == Value::Int(-1));
}

#[test]
fn a_session_cut_anywhere_is_refused() {
    for pickle in [fixtures::session_of_admin_with_csrf(), OF_16.to_vec()] {
        for len in 0..pickle.len() {
            assert!(read(&pickle[..len]).is_err(), "{len}");
        }
        let longer = [pickle, vec![b'.']].concat();
        assert_eq!(refused(&longer), "leftovers");
    }
}

#[test]
fn debug_output_shows_no_content() {
    let session = read(&fixtures::session_of_admin_with_csrf()).unwrap();
    let shown = format!("{session:?}");
    assert!(!shown.contains("af6fd561"), "{shown}");
    assert!(!shown.contains("127.0.0.1"), "{shown}");
}

fn json_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        prop::num::f64::NORMAL.prop_map(Json::from),
        ".{0,20}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
            prop::collection::hash_map(".{0,8}", inner, 0..8)
                .prop_map(|m| Json::Object(m.into_iter().collect())),
        ]
    })
}

fn written(value: &Json) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, value).unwrap();
    bytes
}

#[test]
fn integers_of_every_size_come_back() {
    let small = [0, 1, -1, 255, 256, 65_536, i64::from(i32::MIN)];
    for n in small.into_iter().chain([i64::MAX, i64::MIN]) {
        assert_eq!(json_of(&written(&json!(n))).unwrap(), json!(n));
    }
    // Python reads it, and no number of ours is so large.
    assert!(read(&written(&json!(u64::MAX))).is_err());
}

#[test]
fn structs_are_dicts_and_keys_are_texts() {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Plain,
        Rich(u8),
    }
    #[derive(serde::Serialize)]
    struct Thing<'a> {
        kind: Kind,
        parts: Vec<(&'a str, f32)>,
        none: Option<u8>,
    }
    let thing = |kind| Thing {
        kind,
        parts: vec![("a", 0.5)],
        none: None,
    };
    let same = json!({"kind": "plain", "parts": [["a", 0.5]], "none": null});
    let mut bytes = Vec::new();
    write(&mut bytes, &thing(Kind::Plain)).unwrap();
    assert_eq!(bytes, written(&same));
    assert!(write(&mut bytes, &thing(Kind::Rich(1))).is_err());
    let numbered = std::collections::BTreeMap::from([(1, "a")]);
    assert!(write(&mut bytes, &numbered).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(value in json_value()) {
        prop_assert_eq!(json_of(&written(&value)).unwrap(), value);
    }

    #[test]
    fn no_damage_makes_the_reader_panic(
        value in json_value(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = written(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes);
        let _ = read(&bytes[..at]);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_damaged_session_never_panics(
        place in 0usize..400,
        bytes in proptest::collection::vec(any::<u8>(), 1..4),
    ) {
        let mut pickle = fixtures::session_of_student();
        let place = place % pickle.len();
        pickle.splice(place..(place + 1), bytes);
        let _ = read(&pickle);
    }

    #[test]
    fn opcodes_in_any_order_never_panic(
        ops in proptest::collection::vec(
            proptest::sample::select(b".(012NJKMGX])}tldaesuqrhjcbRCB\x85\x86\x87\x81\x93\x94\x80\x95\x8c\x8a\x00\x01\n".to_vec()),
            0..200,
        ),
    ) {
        let _ = read(&ops);
    }
}
