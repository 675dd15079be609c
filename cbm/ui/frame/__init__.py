"""What every page shares: state and links, navigation, messages, formats, caches."""
