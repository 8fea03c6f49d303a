"""Who waits in front of a server: one thread accepts, introduces and parks connections.

It reads whole requests without ever blocking and hands each guest that has one to a worker;
when the answer is out the guest is parked here again. So a worker is busy only while it
answers, and a thousand silent connections cost a thousand sockets, not a thread.
"""

import logging

log = logging.getLogger(__name__)
