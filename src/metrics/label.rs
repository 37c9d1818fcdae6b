//! What is a label of the metrics whose values are known beforehand?

/// A label whose values are known beforehand.
pub(super) trait Label: Copy + Sized + 'static {
    /// Every value, in the order of the discriminants.
    const ALL: &'static [Self];

    /// The value as Prometheus shows it.
    fn name(self) -> &'static str;
}

/// An enum of label values: the variants, their texts and the list of all of them cannot come apart.
macro_rules! labels {
    ($($(#[$about:meta])* $name:ident { $($(#[$told:meta])* $value:ident = $text:literal,)+ })+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$told])* $value,)+
        }

        impl $name {
            /// The value as Prometheus and the logs show it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$value,)+];

            fn name(self) -> &'static str {
                self.name()
            }
        }
    )+};
}

pub(super) use labels;
