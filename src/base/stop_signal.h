// SIGINT and SIGTERM as a request to finish what is under way, save and end.
#pragma once

namespace switchyard {

/// From now on the first SIGINT or SIGTERM is only noted; the next one, whichever of the two it is,
/// ends the process at once.
void install_stop_handlers();

/// The signal noted, or 0.
int stop_signal();

}  // namespace switchyard
