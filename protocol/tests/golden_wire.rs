//! The bytes between nodes, as files that are only ever added to, and foreign bytes in their place.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use protocol::{
    id::NodeId,
    wire::{
        Complaint, Envelope, Hello, Lane, MAX_FRAME, Service, Signal, Trace, WIRE_VERSION,
        frame::{self, BadFrame, Bulk, Frame},
    },
};
use uuid::Uuid;

const TRACE: Trace = Trace {
    trace: [0xab; 16],
    span: [0xcd; 8],
    flags: 1,
};

fn node() -> NodeId {
    NodeId::from_uuid(Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001))
}

fn bulk(lane: Lane, envelopes: &[Envelope<'_>]) -> Vec<u8> {
    let mut frame = Bulk::new(lane, 300, 0);
    for envelope in envelopes {
        frame.push(envelope);
    }
    frame.into_bytes()
}

fn fault(why: Complaint<'_>) -> Vec<u8> {
    bulk(Lane::CALLS, &[Envelope::Fault { id: 7, why }])
}

/// One frame of each kind, under the name of its file.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let request = Envelope::Request {
        id: 70_000,
        service: Service::CALL,
        left_ms: 30_000,
        trace: Some(TRACE),
        payload: b"{}",
    };
    let hello = Hello {
        version: 1,
        turn: 3,
        window: 8192,
        window_bytes: 2_097_152,
        heard: true,
    };
    let tell = Envelope::Tell {
        service: Service::FEED,
        trace: None,
        payload: &[1, 2, 3],
    };
    let signals = [
        Signal::Heartbeat { sent_us: 1 },
        Signal::Echo { sent_us: 1 << 40 },
        Signal::Done {
            lane: Lane::tells(Service::FEED),
            number: 300,
        },
    ];
    let too_large = Complaint::TooLarge {
        size: 300_000,
        limit: 262_144,
    };
    vec![
        ("hello", frame::hello(&hello)),
        ("request", bulk(Lane::CALLS, &[request])),
        (
            "reply",
            bulk(
                Lane::CALLS,
                &[Envelope::Reply {
                    id: 7,
                    payload: b"yes",
                }],
            ),
        ),
        ("tells", bulk(Lane::tells(Service::FEED), &[tell, tell])),
        ("cancel", bulk(Lane::CALLS, &[Envelope::Cancel { id: 7 }])),
        ("fault-unreachable", fault(Complaint::Unreachable(node()))),
        ("fault-lost", fault(Complaint::Lost(node()))),
        ("fault-deadline", fault(Complaint::Deadline(node()))),
        ("fault-overloaded", fault(Complaint::Overloaded(node()))),
        ("fault-too-large", fault(too_large)),
        ("fault-no-service", fault(Complaint::NoService(node()))),
        ("fault-refused", fault(Complaint::Refused("not today"))),
        ("signals", frame::signals(&signals)),
    ]
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/wire")
        .join(format!("{WIRE_VERSION}-{name}.hex"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn frames_are_written_as_their_golden_files_say() {
    for (name, frame) in samples() {
        let file = golden(name);
        let written = fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!(
                "{}: {error}; its line would be {}",
                file.display(),
                hex(&frame)
            )
        });
        assert_eq!(hex(&frame), written.trim(), "{name}");
    }
}

#[test]
fn every_golden_file_is_still_read() {
    let folder = golden("hello");
    let files = fs::read_dir(folder.parent().unwrap()).unwrap();
    let mut count = 0;
    for file in files {
        let file = file.unwrap().path();
        let digits: Vec<_> = fs::read_to_string(&file).unwrap().trim().chars().collect();
        let bytes = digits.chunks(2).map(String::from_iter);
        let bytes = bytes.map(|byte| u8::from_str_radix(&byte, 16).unwrap());
        let frame: Vec<u8> = bytes.collect();
        let read = read(&frame);
        assert!(read.is_ok(), "{}: {read:?}", file.display());
        count += 1;
    }
    assert!(count >= samples().len());
}

/// Reads all of a frame and gives it in words, so that frames can be compared.
fn read(frame: &[u8]) -> Result<String, BadFrame> {
    Ok(match Frame::read(frame)? {
        Frame::Hello(hello) => format!("{hello:?}"),
        Frame::Bulk {
            lane,
            number,
            envelopes,
        } => format!(
            "{lane:?} {number} {:?}",
            envelopes.collect::<Result<Vec<_>, _>>()?
        ),
        Frame::Signals(signals) => format!("{:?}", signals.collect::<Result<Vec<_>, _>>()?),
    })
}

#[test]
fn what_was_written_is_read_again() {
    let frame = bulk(
        Lane::CALLS,
        &[
            Envelope::Request {
                id: u64::MAX,
                service: Service(u16::MAX),
                left_ms: u32::MAX,
                trace: Some(TRACE),
                payload: &[9; 1000],
            },
            Envelope::Cancel { id: 0 },
        ],
    );
    let words = read(&frame).unwrap();
    assert!(words.contains(&format!("left_ms: {}", u32::MAX)), "{words}");
    assert!(words.ends_with("Cancel { id: 0 }]"), "{words}");
}

#[test]
fn an_envelope_weighs_no_less_than_its_bytes() {
    let largest = Envelope::Request {
        id: u64::MAX,
        service: Service(u16::MAX),
        left_ms: u32::MAX,
        trace: Some(TRACE),
        payload: &[9; 1000],
    };
    let empty = Bulk::new(Lane(u16::MAX), u64::MAX, 0).size();
    let mut frame = Bulk::new(Lane(u16::MAX), u64::MAX, 0);
    frame.push(&largest);
    assert!(frame.size() - empty <= largest.weight());
}

#[test]
fn a_later_hello_is_read_by_what_it_begins_with() {
    let hello = Hello {
        version: 2,
        turn: 1,
        window: 1,
        window_bytes: 1,
        heard: false,
    };
    let mut longer = frame::hello(&hello);
    longer.extend_from_slice(b"news");
    assert_eq!(read(&longer).unwrap(), format!("{hello:?}"));
}

#[test]
fn frames_and_messages_beyond_the_limits_are_refused() {
    let refused = read(&vec![1; MAX_FRAME + 1]).unwrap_err();
    assert_eq!(refused, BadFrame::TooLarge(MAX_FRAME + 1));
    let payload = vec![0; 300_000];
    let frame = bulk(
        Lane::CALLS,
        &[Envelope::Reply {
            id: 1,
            payload: &payload,
        }],
    );
    assert_eq!(
        read(&frame).unwrap_err(),
        BadFrame::PayloadTooLarge(300_000)
    );
}

proptest! {
    #[test]
    fn foreign_bytes_are_read_or_refused_and_never_panic(
        kind in 0_u8..4,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = read(&bytes);
        let _ = read(&[&[kind], bytes.as_slice()].concat());
    }

    #[test]
    fn a_frame_that_was_cut_or_changed_never_panics(
        which in 0_usize..13,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (_, mut frame) = samples().swap_remove(which);
        let at = at.index(frame.len());
        let _ = read(&frame[..at]);
        frame[at] = byte;
        let _ = read(&frame);
    }
}
