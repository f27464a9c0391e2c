use chrono::NaiveDate;
use proptest::prelude::*;

use super::*;
use crate::frappe::fixtures;

fn refused(pickle: &[u8]) -> &'static str {
    match read(pickle) {
        Err(Unreadable(why)) => why,
        Ok(_) => panic!("was read"),
    }
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
/// 'e': (1,), 'f': {}, 'g': (), 'h': (1, 2, 3, 4)}` as Python 3.11 pickles it.
#[rustfmt::skip]
const PLAIN: [&[u8]; 5] = [
    b"(dp0\nVa\np1\nNsVb\np2\n(lp3\nI01\naI00\naI1\naI-2\naI300\naI70000\naL1099511627776L\nasVc\np4\nF1.5\nsVd\np5\nV\xe9\x5cu0663\x22\np6\nsVe\np7\n(I1\ntp8\nsVf\np9\n(dp10\nsVg\np11\n(tsVh\np12\n(I1\nI2\nI3\nI4\ntp13\ns.",
    b"}q\x00(X\x01\x00\x00\x00aq\x01NX\x01\x00\x00\x00bq\x02]q\x03(I01\nI00\nK\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00L1099511627776L\neX\x01\x00\x00\x00cq\x04G?\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00dq\x05X\x05\x00\x00\x00\xc3\xa9\xd9\xa3\x22q\x06X\x01\x00\x00\x00eq\x07(K\x01tq\x08X\x01\x00\x00\x00fq\x09}q\nX\x01\x00\x00\x00gq\x0b)X\x01\x00\x00\x00hq\x0c(K\x01K\x02K\x03K\x04tq\x0du.",
    b"\x80\x03}q\x00(X\x01\x00\x00\x00aq\x01NX\x01\x00\x00\x00bq\x02]q\x03(\x88\x89K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01eX\x01\x00\x00\x00cq\x04G?\xf8\x00\x00\x00\x00\x00\x00X\x01\x00\x00\x00dq\x05X\x05\x00\x00\x00\xc3\xa9\xd9\xa3\x22q\x06X\x01\x00\x00\x00eq\x07K\x01\x85q\x08X\x01\x00\x00\x00fq\x09}q\nX\x01\x00\x00\x00gq\x0b)X\x01\x00\x00\x00hq\x0c(K\x01K\x02K\x03K\x04tq\x0du.",
    b"\x80\x04\x95f\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94N\x8c\x01b\x94]\x94(\x88\x89K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01e\x8c\x01c\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x01d\x94\x8c\x05\xc3\xa9\xd9\xa3\x22\x94\x8c\x01e\x94K\x01\x85\x94\x8c\x01f\x94}\x94\x8c\x01g\x94)\x8c\x01h\x94(K\x01K\x02K\x03K\x04t\x94u.",
    b"\x80\x05\x95f\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94N\x8c\x01b\x94]\x94(\x88\x89K\x01J\xfe\xff\xff\xffM,\x01Jp\x11\x01\x00\x8a\x06\x00\x00\x00\x00\x00\x01e\x8c\x01c\x94G?\xf8\x00\x00\x00\x00\x00\x00\x8c\x01d\x94\x8c\x05\xc3\xa9\xd9\xa3\x22\x94\x8c\x01e\x94K\x01\x85\x94\x8c\x01f\x94}\x94\x8c\x01g\x94)\x8c\x01h\x94(K\x01K\x02K\x03K\x04t\x94u.",
];

/// `frappe.types.frappedict._dict(user='a', data=_dict(last_updated=datetime(..)))`.
#[rustfmt::skip]
const OF_16: &[u8] = b"\x80\x05\x95\x80\x00\x00\x00\x00\x00\x00\x00\x8c\x17frappe.types.frappedict\x94\x8c\x05_dict\x94\x93\x94)\x81\x94(\x8c\x04user\x94\x8c\x01a\x94\x8c\x04data\x94h\x02)\x81\x94\x8c\x0clast_updated\x94\x8c\x08datetime\x94\x8c\x08datetime\x94\x93\x94C\n\x07\xea\x0b\x17\x02+\x15\x0c\x0b{\x94\x85\x94R\x94sh\x07buh\x03b.";

#[test]
fn plain_data_is_read_in_every_protocol() {
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
    let calls: [&[u8]; 7] = [
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
fn a_class_is_no_value() {
    assert_eq!(refused(b"cfrappe\n_dict\n."), MISUSE.0);
    assert_eq!(refused(b"(cfrappe\n_dict\nl."), MISUSE.0);
}

#[test]
fn opcodes_with_side_effects_are_unknown() {
    // PERSID, BINPERSID, INST, OBJ, EXT1, NEWOBJ_EX, NEXT_BUFFER, Python 2 strings.
    let pickles: [&[u8]; 8] = [
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
    assert_eq!(refused(b"cfrappe\n_dict\n)\x81}b."), MISUSE.0);
    assert_eq!(refused(b"]2b."), MISUSE.0);
    assert!(read(b"cfrappe\n_dict\n)\x812b.").is_ok());
}

#[test]
fn a_datetime_with_a_zone_is_refused() {
    let pickle = b"cdatetime\ndatetime\n(C\x0a\x07\xea\x0b\x17\x02+\x15\x0c\x0b{NtR.";
    assert_eq!(refused(pickle), MISUSE.0);
    let no_such_day = b"cdatetime\ndatetime\n(C\x0a\x07\xea\x02\x1f\x02+\x15\x0c\x0b{tR.";
    assert_eq!(refused(no_such_day), "no such time");
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
}

#[test]
fn a_pickle_longer_than_any_session_is_not_looked_at() {
    assert_eq!(refused(&vec![b'N'; MAX_SOURCE + 1]), "too long");
}

#[test]
fn misuse_of_stack_and_memo_is_refused() {
    let pickles: [&[u8]; 14] = [
        b".", b"0", b"1", b"a.", b"Na.", b"NNa.", b"}Nu.", b"(t", b"h\x07.", b"q\x00.", b"N(0.",
        b"N(a.", b"N(\x85.", b"N(.",
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
    assert!(read(b"L99999999999999999999L\n.").is_err());
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

proptest! {
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
            proptest::sample::select(b".(012NJKMGX])}tldaesuqrhjcbRC\x85\x86\x87\x81\x93\x94\x80\x95\x8c\x8a\x00\x01\n".to_vec()),
            0..200,
        ),
    ) {
        let _ = read(&ops);
    }
}
