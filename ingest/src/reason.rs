//! Why a message could not be used: a closed list of names that devices, insurers, operators,
//! metrics and the documentation share.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($variant:ident $name:literal $advice:literal,)*) => {
        /// A named reason, with what to do about it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason { $(#[serde(rename = $name)] $variant,)* }

        impl Reason {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// What the sender can do about it.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

reasons! {
    UnknownDevice "unknown_device" "register the device and its owner before it publishes",
    NoOwner "no_owner" "nobody owned the device at the reading's time; record the ownership from then on",
    NoConsent "no_consent" "the owner has not consented to any purpose at the reading's time, or no longer does",
    UnknownTopic "unknown_topic" "publish on telemetry/{kind}/{device} or owntracks/{user}/{device}",
    NotOwnTopic "not_own_topic" "publish only under the device's own id",
    TooLarge "too_large" "send at most 64 KiB in one message; split arrays",
    NotDecodable "not_decodable" "send the format that belongs to the topic",
    NoTime "no_time" "send the time (ts of a reading, time, from and to of a report) as RFC 3339 with an offset, or as seconds or milliseconds since 1970",
    ClockAhead "clock_ahead" "the reading's time is more than 5 minutes ahead; set the device's clock",
    ClockUnset "clock_unset" "the reading's time is before the year 2000; set the device's clock",
    GpsWeekRollover "gps_week_rollover" "the reading's time is 1024 weeks back; update the receiver's firmware",
    OutOfRange "out_of_range" "send values within the documented range of the measure",
    WrongType "wrong_type" "send each measure in its documented type",
    NothingMeasured "nothing_measured" "send at least one documented measure or a position",
    NoValidFix "no_valid_fix" "send lat and lon together, within ±90 and ±180 degrees",
    Encrypted "encrypted" "switch off payload encryption in OwnTracks; let TLS protect the connection",
    RefusedByInflux "refused_by_influx" "the reading is stored, but InfluxDB refused it as a point; do what its answer says",
    UnknownInsurer "unknown_insurer" "register the insurer before it reports anything",
    Incomplete "incomplete" "send every field that the report needs",
    NeedsQos1 "needs_qos_1" "publish at QoS 1: a report without an acknowledgement may be lost",
    NotInsured "not_insured" "no policy of yours for this was in force then: correct policy, customer or device, or the time",
    UnknownTrigger "unknown_trigger" "give the id of a trigger that you were sent",
    TooOld "too_old" "the reading is older than readings are kept here; there is nothing to do",
}

/// A reading, or a whole message, that could not be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    pub reason: Reason,
    /// What exactly is wrong, for a person: names the field and the value.
    pub detail: String,
    /// What was sent: the message, or the one element of it.
    pub raw: Bytes,
}
