//! The macros that declare wire structures and flag sets, so that each is one table.

/// Declares one `#[repr(C)]` structure: its C name, its size, and each field with its offset.
/// A size or offset which the compiler does not agree with fails the build.
macro_rules! layout {
    (
        $(#[$meta:meta])*
        $name:ident = $c:literal, $size:literal {
            $( $(#[$field_meta:meta])* $offset:literal $field:ident : $type:ty, )+
        }
    ) => {
        #[doc = concat!("`struct ", $c, "`, ", stringify!($size), " bytes.\n\n")]
        $(#[$meta])*
        #[repr(C)]
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
        )]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )+
        }
        const _: () = assert!(size_of::<$name>() == $size, concat!($c, ": size"));
        $( const _: () = assert!(
            core::mem::offset_of!($name, $field) == $offset,
            concat!($c, ".", stringify!($field), ": offset"),
        ); )+
    };
}

/// Declares a set of flags which can stand inside a structure: bits without a name are kept.
macro_rules! flags {
    (
        $(#[$meta:meta])*
        $name:ident : $type:ty {
            $( $(#[$($flag_meta:tt)*])* $flag:ident = $bit:expr; )+
        }
    ) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Hash,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
        )]
        pub struct $name($type);

        bitflags::bitflags! {
            impl $name: $type {
                $( $(#[$($flag_meta)*])* const $flag = $bit; )+
                const _ = !0;
            }
        }
    };
}

/// Declares the values that a number on the wire may have, each with its name.
macro_rules! codes {
    (
        $(#[$meta:meta])*
        $name:ident : $type:ident {
            $( $(#[$code_meta:meta])* $code:ident = $number:literal; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr($type)]
        pub enum $name {
            $( $(#[$code_meta])* $code = $number, )+
        }

        impl $name {
            /// Each of them, in the order of its number.
            pub const ALL: &'static [$name] = &[ $( $name::$code, )+ ];

            /// The one of this number, if there is one.
            pub const fn from_number(number: $type) -> Option<$name> {
                match number {
                    $( $number => Some($name::$code), )+
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use {codes, flags, layout};
